"""Export (CSV, XLSX, JSON) and import (CSV, XLSX) through django-import-export.

Its defaults are not used: with them, any member of staff can export password hashes and import
`is_superuser`. Here import and export have permissions of their own, the columns are listed
explicitly, and everything that is read, written or stored has a limit.
"""

from tasks_admin.admin.exchange.exporting import ExportPageMixin
from tasks_admin.admin.exchange.importing import ImportPageMixin
from tasks_admin.admin.exchange.resources import (
    OperationExport,
    ResultExport,
    UserExport,
    importable_columns,
)
from tasks_admin.admin.exchange.users import UserImport

__all__ = ["OperationExchangeMixin", "ResultExchangeMixin", "UserExchangeMixin"]


class UserExchangeMixin(ImportPageMixin, ExportPageMixin):
    """Import and export of users."""

    import_export_change_list_template = "admin/import_export/change_list_import_export.html"
    import_permission = "tasks_admin.import_users"
    export_permission = "tasks_admin.export_users"
    import_resource = UserImport
    export_resource = UserExport
    export_selected = importable_columns()  # an export of these columns can be imported again


class ResultExchangeMixin(ExportPageMixin):
    """Export of results."""

    export_permission = "tasks_admin.export_results"
    export_resource = ResultExport


class OperationExchangeMixin(ExportPageMixin):
    """Export of operations."""

    export_permission = "tasks_admin.export_operations"
    export_resource = OperationExport
