"""Email: the messages, and the transports that send them."""
