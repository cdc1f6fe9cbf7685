"""The pages of failure groups: list, detail, actions."""
