"""The import page: what a file would do, by row; then the very same, confirmed."""

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
from tasks_admin.admin.exchange.errors import Unreadable, UploadGone
from tasks_admin.admin.exchange.formats import Csv, Xlsx
from tasks_admin.admin.exchange.forms import ConfirmForm, UploadForm
from tasks_admin.admin.exchange.users import UserImport
from tasks_admin.lib.conf import settings


class Importing(ImportMixin, ModelAdmin[Any]):  # type: ignore[misc]
    """Imports users, for staff with `import_permission`: shown first, then all of it or nothing."""

    import_permission: str
    import_resource: type[UserImport]
    import_form_class = UploadForm
    confirm_form_class = ConfirmForm
    tmp_storage_class = uploads.Uploads
    skip_admin_log = False

    def has_import_permission(self, request: HttpRequest) -> bool:
        """Whether the actor may import: never by default."""
        return request.user.has_perm(self.import_permission)

    def is_skip_import_confirm_enabled(self) -> bool:
        """Whether a file is imported without being shown first: never."""
        return False

    def get_import_formats(self) -> list[type[Any]]:
        """The formats that are read."""
        return [Csv, Xlsx]

    def get_import_resource_classes(self, request: HttpRequest) -> list[type[UserImport]]:
        """The one list of columns."""
        return [self.import_resource]

    def choose_import_resource_class(self, form: Any, request: HttpRequest) -> type[UserImport]:
        """The one list of columns, whatever the form says."""
        return self.import_resource

    def get_import_resource_kwargs(self, request: HttpRequest, **kwargs: Any) -> dict[str, Any]:
        """Who imports, and what the admin lets them do."""
        return {
            "actor": request.user,
            "users": self.get_queryset(request),
            "may_add": self.has_add_permission(request),
            "may_change": partial(self.has_change_permission, request),
        }

    def get_import_data_kwargs(self, **kwargs: Any) -> dict[str, Any]:
        """One bad row, and nothing is imported."""
        return {"rollback_on_validation_errors": True}

    def get_import_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """What the page says about sizes."""
        most_bytes = filesizeformat(settings.IMPORT_MAX_BYTES)
        return {"most_bytes": most_bytes, "most_rows": settings.IMPORT_MAX_ROWS}

    def get_confirm_form_kwargs(
        self, request: HttpRequest, import_form: UploadForm | None = None
    ) -> dict[str, Any]:
        """The confirm form takes uploads of this user only."""
        kwargs: dict[str, Any] = super().get_confirm_form_kwargs(request, import_form)
        return kwargs | {"user_pk": request.user.pk}

    def get_confirm_form_initial(
        self, request: HttpRequest, import_form: UploadForm | None
    ) -> dict[str, Any]:
        """Sign which upload was shown, and as what."""
        initial: dict[str, Any] = super().get_confirm_form_initial(request, import_form)
        if initial:
            initial["import_file_name"] = uploads.ticket(
                initial["import_file_name"], initial["format"], request.user.pk
            )
        return initial

    def add_data_read_fail_error_to_form(self, form: UploadForm, e: Exception) -> None:
        """Say what is wrong with the file."""
        if isinstance(e, Unreadable):
            form.add_error("import_file", str(e))
        else:
            super().add_data_read_fail_error_to_form(form, e)

    def import_action(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show what a file would do; what can't be confirmed is not kept."""
        if request.method == "POST":
            uploads.sweep()
        keep = False
        try:
            response: Any = super().import_action(request, **kwargs)
            keep = "confirm_form" in response.context_data
            return response  # type: ignore[no-any-return]
        finally:
            name = getattr(request.FILES.get("import_file"), "tmp_storage_name", None)
            if name and not keep:
                uploads.discard(name)

    def process_import(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Import what was shown: the users, and the record of it, in one transaction."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        try:
            form = self.create_confirm_form(request)
            if request.method == "POST" and not form.is_valid():
                raise uploads.gone()
            with transaction.atomic():
                return super().process_import(request, **kwargs)  # type: ignore[no-any-return]
        except (Unreadable, UploadGone) as error:
            messages.error(request, str(error))
            return self._again()

    def process_result(self, result: Any, request: HttpRequest) -> HttpResponse:
        """Record what was imported; or say that it was rolled back."""
        if not (result.has_errors() or result.has_validation_errors()):
            return super().process_result(result, request)  # type: ignore[no-any-return]
        text = _(
            "Nothing was imported: something changed after the file was shown. "
            "Upload it again to see what stands against it."
        )
        messages.error(request, text)
        return self._again()

    def _again(self) -> HttpResponse:
        info = "_".join(self.get_model_info())
        return HttpResponseRedirect(reverse(f"admin:{info}_import"))
