"""Shared by the pages of several nouns: confirmation, lists, filters, read-only pages."""
