"""What the pages of several nouns share: confirmation, lists, filters, read-only pages."""
