"""The table of verbs, the names in it, and what a verb is."""

from tasks_admin.lib.verbs.names import *  # noqa: F403 (a new name is written in one place)
from tasks_admin.lib.verbs.table import PERMISSIONS as PERMISSIONS
from tasks_admin.lib.verbs.table import VERBS as VERBS
from tasks_admin.lib.verbs.verb import TargetType as TargetType
from tasks_admin.lib.verbs.verb import Verb as Verb
