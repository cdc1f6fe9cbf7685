"""A project of somebody else's, with a task that is cheap enough for a hundred thousand of them."""
