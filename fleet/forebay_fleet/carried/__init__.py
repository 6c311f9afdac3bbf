"""What is carried by hand to boxes and from them."""
