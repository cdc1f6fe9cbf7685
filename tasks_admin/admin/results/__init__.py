"""The pages of task results: list, detail, edit and retry."""
