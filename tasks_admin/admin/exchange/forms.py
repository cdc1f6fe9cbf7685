"""The forms of an export, an upload and its confirmation."""

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
from tasks_admin.admin.exchange.errors import UploadExpired
from tasks_admin.admin.exchange.writers import WRITERS
from tasks_admin.lib.conf import settings


class ExportForm(forms.Form):
    """The columns and the format."""

    columns = forms.MultipleChoiceField(
        label=gettext_lazy("Columns"), widget=forms.CheckboxSelectMultiple
    )
    format = forms.ChoiceField(
        label=gettext_lazy("Format"),
        choices=[(str(number), writer.name) for number, writer in enumerate(WRITERS)],
    )

    def __init__(
        self, data: Any = None, *, columns: Sequence[str], selected: Sequence[str] | None = None
    ) -> None:
        initial = columns if selected is None else selected
        super().__init__(data, initial={"columns": initial, "format": "0"})
        self.fields["columns"].choices = [(name, name) for name in columns]  # type: ignore[attr-defined]


class UploadForm(ImportForm):  # type: ignore[misc]
    """A file of limited size."""

    def clean_import_file(self) -> "UploadedFile[Any]":
        """Check the size before the content."""
        file: UploadedFile[Any] = self.cleaned_data["import_file"]
        if (file.size or 0) > settings.IMPORT_MAX_BYTES:
            limit = filesizeformat(settings.IMPORT_MAX_BYTES)
            text = _("The file is larger than %(limit)s. Split it into smaller files.")
            raise ValidationError(text % {"limit": limit})
        return file


class ConfirmForm(ConfirmImportForm):  # type: ignore[misc]
    """The confirmation of an upload, whose name is signed for the user who uploaded it."""

    def __init__(self, *args: Any, user_pk: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user_pk = user_pk

    def clean_import_file_name(self) -> str:
        """The verified name of the upload; `clean` takes the format from the same signature."""
        try:
            name, self.signed = uploads.verify(self.cleaned_data["import_file_name"], self.user_pk)
        except UploadExpired as error:
            raise ValidationError(str(error)) from None
        return name

    def clean(self) -> dict[str, Any]:
        """Use the signed format, whatever the form contains."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if "import_file_name" in cleaned:
            cleaned["format"] = self.signed
        return cleaned
