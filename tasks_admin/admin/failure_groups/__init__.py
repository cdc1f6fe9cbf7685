"""The pages of failure groups."""
