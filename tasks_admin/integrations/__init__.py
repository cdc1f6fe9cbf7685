"""The interfaces to external systems: the broker, the workers, the mail server, the database."""
