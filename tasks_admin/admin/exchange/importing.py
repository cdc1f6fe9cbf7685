"""The import page: a preview of the changes by row, then the confirmed import."""

from functools import partial
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.translation import gettext as _
from import_export.admin import ImportMixin

from tasks_admin.admin.exchange import uploads
from tasks_admin.admin.exchange.errors import UnreadableFile, UploadExpired
from tasks_admin.admin.exchange.formats import Csv, Xlsx
from tasks_admin.admin.exchange.forms import ConfirmForm, UploadForm
from tasks_admin.admin.exchange.users import UserImport
from tasks_admin.lib.conf import settings


class ImportPageMixin(ImportMixin, ModelAdmin[Any]):  # type: ignore[misc]
    """Imports users, with `import_permission`: first a preview, then all rows or none."""

    import_permission: str
    import_resource: type[UserImport]
    import_form_class = UploadForm
    confirm_form_class = ConfirmForm
    tmp_storage_class = uploads.UploadStorage
    skip_admin_log = False

    def has_import_permission(self, request: HttpRequest) -> bool:
        """Whether the user has the permission."""
        return request.user.has_perm(self.import_permission)

    def is_skip_import_confirm_enabled(self) -> bool:
        """Whether the preview is skipped: never."""
        return False

    def get_import_formats(self) -> list[type[Any]]:
        """CSV and XLSX."""
        return [Csv, Xlsx]

    def get_import_resource_classes(self, request: HttpRequest) -> list[type[UserImport]]:
        """The only resource."""
        return [self.import_resource]

    def choose_import_resource_class(self, form: Any, request: HttpRequest) -> type[UserImport]:
        """The only resource, whatever the form contains."""
        return self.import_resource

    def get_import_resource_kwargs(self, request: HttpRequest, **kwargs: Any) -> dict[str, Any]:
        """The actor, and their permissions in the admin."""
        return {
            "actor": request.user,
            "users": self.get_queryset(request),
            "can_add": self.has_add_permission(request),
            "can_change": partial(self.has_change_permission, request),
        }

    def get_import_data_kwargs(self, **kwargs: Any) -> dict[str, Any]:
        """Import nothing if a row is not valid."""
        return {"rollback_on_validation_errors": True}

    def get_import_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """The limits that the page states."""
        max_bytes = filesizeformat(settings.IMPORT_MAX_BYTES)
        return {"max_bytes": max_bytes, "max_rows": settings.IMPORT_MAX_ROWS}

    def get_confirm_form_kwargs(
        self, request: HttpRequest, import_form: UploadForm | None = None
    ) -> dict[str, Any]:
        """The form accepts only uploads of this user."""
        kwargs: dict[str, Any] = super().get_confirm_form_kwargs(request, import_form)
        return kwargs | {"user_pk": request.user.pk}

    def get_confirm_form_initial(
        self, request: HttpRequest, import_form: UploadForm | None
    ) -> dict[str, Any]:
        """Sign the name and the format of the upload."""
        initial: dict[str, Any] = super().get_confirm_form_initial(request, import_form)
        if initial:
            initial["import_file_name"] = uploads.sign(
                initial["import_file_name"], initial["format"], request.user.pk
            )
        return initial

    def add_data_read_fail_error_to_form(self, form: UploadForm, e: Exception) -> None:
        """Show why the file cannot be read."""
        if isinstance(e, UnreadableFile):
            form.add_error("import_file", str(e))
        else:
            super().add_data_read_fail_error_to_form(form, e)

    def import_action(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show the preview of a file; delete the upload unless it can be confirmed."""
        if request.method == "POST":
            uploads.delete_expired()
        confirmable = False
        try:
            response: Any = super().import_action(request, **kwargs)
            confirmable = "confirm_form" in response.context_data
            return response  # type: ignore[no-any-return]
        finally:
            name = getattr(request.FILES.get("import_file"), "tmp_storage_name", None)
            if name and not confirmable:
                uploads.delete(name)

    def process_import(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Import the upload: the users and the log entries, in one transaction."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        try:
            form = self.create_confirm_form(request)
            if request.method == "POST" and not form.is_valid():
                raise uploads.expired()
            with transaction.atomic():
                return super().process_import(request, **kwargs)  # type: ignore[no-any-return]
        except (UnreadableFile, UploadExpired) as error:
            messages.error(request, str(error))
            return self._restart()

    def process_result(self, result: Any, request: HttpRequest) -> HttpResponse:
        """Log the import; or show that it was rolled back."""
        if not (result.has_errors() or result.has_validation_errors()):
            return super().process_result(result, request)  # type: ignore[no-any-return]
        text = _(
            "Nothing was imported, because users or permissions have changed since the preview. "
            "Upload the file again to see the problems."
        )
        messages.error(request, text)
        return self._restart()

    def _restart(self) -> HttpResponse:
        info = "_".join(self.get_model_info())
        return HttpResponseRedirect(reverse(f"admin:{info}_import"))
