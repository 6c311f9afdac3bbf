"""Who a box is: join tokens, certificates, clones, recovery, who may not come."""
