"""Catches the mails of an installation without a mail server, and shows them to staff."""
