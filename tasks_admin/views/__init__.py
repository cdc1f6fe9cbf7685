"""The pages outside the admin."""
