"""The pages of workers and of the commands to them."""
