"""The pages of task results."""
