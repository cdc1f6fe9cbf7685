"""The export page."""

import logging
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from import_export.admin import ExportMixin
from import_export.signals import post_export

from tasks_admin.admin.exchange.forms import ExportForm
from tasks_admin.admin.exchange.resources import ExportResource
from tasks_admin.admin.exchange.writers import WRITERS, Writer

logger = logging.getLogger(__name__)


class ExportPageMixin(ExportMixin, ModelAdmin[Any]):  # type: ignore[misc]
    """Exports the rows that match the list's filters, with `export_permission`."""

    export_permission: str
    export_resource: type[ExportResource]
    #: The columns that are selected initially; None: all.
    export_selected: list[str] | None = None

    def has_export_permission(self, request: HttpRequest) -> bool:
        """Whether the user has the permission."""
        return request.user.has_perm(self.export_permission)

    def get_export_resource_classes(self, request: HttpRequest) -> list[type[ExportResource]]:
        """The only resource."""
        return [self.export_resource]

    def export_action(self, request: HttpRequest) -> HttpResponseBase:
        """Show the form of columns and format; then send the file."""
        if not self.has_export_permission(request):
            raise PermissionDenied
        try:
            rows = self.get_export_queryset(request)
        except IncorrectLookupParameters:
            messages.error(request, _("The filters are not valid. Nothing was exported."))
            return HttpResponseRedirect(reverse(f"admin:{self._model_name()}_changelist"))
        columns = self.export_resource().get_export_order()
        form = ExportForm(request.POST or None, columns=columns, selected=self.export_selected)
        if form.is_valid() and (response := self._send(request, rows, form)):
            return response
        context = self.init_request_context_data(request, form)
        return TemplateResponse(request, [self.export_template_name], context)

    def _send(
        self, request: HttpRequest, rows: QuerySet[Any], form: ExportForm
    ) -> HttpResponseBase | None:
        writer = WRITERS[int(form.cleaned_data["format"])]
        if exceeds_limit(rows, writer):
            form.add_error("format", limit_message(writer))
            return None
        columns = form.cleaned_data["columns"]
        content = self.export_resource().file_rows(rows, columns, cells=writer.cells)
        filename = f"{self._model_name()}-{timezone.localdate():%Y-%m-%d}.{writer.name}"
        response = writer.respond(content, filename)
        logger.info("User %s exported %s: %s", request.user.pk, filename, ", ".join(columns))
        post_export.send(sender=None, model=self.model)
        return response

    def _model_name(self) -> str:
        return "_".join(self.get_model_info())


def exceeds_limit(rows: QuerySet[Any], writer: Writer) -> bool:
    """Whether there are more rows than the format allows. Exports are never truncated."""
    limit = writer.max_rows
    return limit is not None and rows.order_by().values("pk")[: limit + 1].count() > limit


def limit_message(writer: Writer) -> str:
    """The limit of a format, and the alternatives."""
    limit = writer.max_rows or 0
    return ngettext(
        "%(format)s exports are limited to %(limit)s row. Filter the list, or export CSV.",
        "%(format)s exports are limited to %(limit)s rows. Filter the list, or export CSV.",
        limit,
    ) % {"format": writer.name.upper(), "limit": f"{limit:,}"}
