"""Workers: what can be told of them, and what staff can do with them."""

from tasks_admin.workers.acts import MOST, OPTIONS, checked, forsakes, order, possible
from tasks_admin.workers.looks import Overview, Seen, State, one, overview

__all__ = [
    "MOST",
    "OPTIONS",
    "Overview",
    "Seen",
    "State",
    "checked",
    "forsakes",
    "one",
    "order",
    "overview",
    "possible",
]
