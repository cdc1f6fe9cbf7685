"""Stores the emails of an installation without a mail server, and shows them to staff."""
