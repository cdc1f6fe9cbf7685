"""The ops console: bulk operations, task results and workers in Django's admin."""
