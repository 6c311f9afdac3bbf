"""Many processes take records, others store them, and NATS JetStream keeps them in between."""
