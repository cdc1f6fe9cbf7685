"""Workers: what can be told of them, and what staff can do with them."""

from tasks_admin.workers.actions import able, order, possible, would_orphan
from tasks_admin.workers.options import LIMITS, OPTIONS, SIZES, checked, choices, most
from tasks_admin.workers.overview import Overview, Seen, State, look_around, one, overview

__all__ = [
    "LIMITS",
    "OPTIONS",
    "SIZES",
    "Overview",
    "Seen",
    "State",
    "able",
    "checked",
    "choices",
    "look_around",
    "most",
    "one",
    "order",
    "overview",
    "possible",
    "would_orphan",
]
