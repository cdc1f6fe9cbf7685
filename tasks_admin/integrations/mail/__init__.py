"""Email: the messages, and the connection to the mail server."""
