"""A project of its own, with a task that is cheap enough to be executed 100,000 times."""
