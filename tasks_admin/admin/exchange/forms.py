"""The forms of an export and of an import's two steps."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from import_export.forms import ConfirmImportForm, ImportForm

from tasks_admin.admin.exchange import uploads
from tasks_admin.admin.exchange.errors import UploadGone
from tasks_admin.admin.exchange.writers import WRITERS
from tasks_admin.lib.conf import settings


class ExportForm(forms.Form):
    """Which columns, in which format."""

    columns = forms.MultipleChoiceField(
        label=gettext_lazy("Columns"), widget=forms.CheckboxSelectMultiple
    )
    format = forms.ChoiceField(
        label=gettext_lazy("Format"),
        choices=[(str(number), writer.name) for number, writer in enumerate(WRITERS)],
    )

    def __init__(
        self, data: Any = None, *, columns: Sequence[str], ticked: Sequence[str] | None = None
    ) -> None:
        at_first = columns if ticked is None else ticked
        super().__init__(data, initial={"columns": at_first, "format": "0"})
        self.fields["columns"].choices = [(name, name) for name in columns]  # type: ignore[attr-defined]


class UploadForm(ImportForm):  # type: ignore[misc]
    """A file of a size that we read."""

    def clean_import_file(self) -> "UploadedFile[Any]":
        """Look at the size before anything looks into the file."""
        file: UploadedFile[Any] = self.cleaned_data["import_file"]
        if (file.size or 0) > settings.IMPORT_MAX_BYTES:
            most = filesizeformat(settings.IMPORT_MAX_BYTES)
            raise ValidationError(_("Larger than %(most)s. Split the file.") % {"most": most})
        return file


class ConfirmForm(ConfirmImportForm):  # type: ignore[misc]
    """An upload that this user was shown. Which file that is, we signed."""

    def __init__(self, *args: Any, user_pk: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user_pk = user_pk

    def clean_import_file_name(self) -> str:
        """Return the upload's name; `clean` takes the format from the same signature."""
        try:
            name, self.signed = uploads.redeem(self.cleaned_data["import_file_name"], self.user_pk)
        except UploadGone as error:
            raise ValidationError(str(error)) from None
        return name

    def clean(self) -> dict[str, Any]:
        """Read the upload as what it was shown as, whatever the form says."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if "import_file_name" in cleaned:
            cleaned["format"] = self.signed
        return cleaned
