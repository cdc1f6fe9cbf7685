"""Workers: what can be told of them, and what staff can do with them."""

from tasks_admin.workers.looks import Overview, Seen, State, one, overview

__all__ = ["Overview", "Seen", "State", "one", "overview"]
