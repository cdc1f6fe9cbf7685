"""Export (CSV, XLSX, JSON) and import (CSV, XLSX) through django-import-export.

Its defaults are not used: with them every member of staff exports password hashes and imports
`is_superuser`. Here each direction asks for a permission of its own, columns are taken from a
list, and nothing is read, written or kept without bounds.
"""

from tasks_admin.admin.exchange.exporting import Exporting
from tasks_admin.admin.exchange.importing import Importing
from tasks_admin.admin.exchange.resources import (
    OperationExport,
    ResultExport,
    UserExport,
    importable,
)
from tasks_admin.admin.exchange.users import UserImport

__all__ = ["OperationExchange", "ResultExchange", "UserExchange"]


class UserExchange(Importing, Exporting):
    """Users in and out."""

    import_export_change_list_template = "admin/import_export/change_list_import_export.html"
    import_permission = "tasks_admin.import_users"
    export_permission = "tasks_admin.export_users"
    import_resource = UserImport
    export_resource = UserExport
    export_ticked = importable()  # what comes out goes in again


class ResultExchange(Exporting):
    """Results out."""

    export_permission = "tasks_admin.export_results"
    export_resource = ResultExport


class OperationExchange(Exporting):
    """Operations out."""

    export_permission = "tasks_admin.export_operations"
    export_resource = OperationExport
