"""The import of users: the permissions for each row, and its validation."""

import unicodedata
from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.html import format_html
from django.utils.translation import gettext as _
from import_export.instance_loaders import BaseInstanceLoader
from import_export.resources import Diff, ModelResource
from import_export.results import Error, Result

from tasks_admin.accounts import with_exclusion_reason
from tasks_admin.admin.exchange.cells import unescape_formula
from tasks_admin.admin.exchange.errors import UnreadableFile
from tasks_admin.admin.exchange.resources import importable_columns
from tasks_admin.integrations.mail.addresses import is_deliverable

COLUMNS = importable_columns()
KEY = COLUMNS[0]
#: Users that one query looks up.
BATCH_SIZE = 500


class UnstyledDiff(Diff):  # type: ignore[misc]
    """Old and new values. Django-import-export's own has inline styles, which the CSP forbids."""

    def as_html(self) -> list[str]:
        """A cell for each column."""
        return [self._cell(*pair) for pair in zip(self.left, self.right, strict=True)]

    def _cell(self, before: str, after: str) -> str:
        if self.new or before == after:
            return format_html("{}", after)
        return format_html("<del>{}</del> <ins>{}</ins>", before, after)


class UserLoader(BaseInstanceLoader):  # type: ignore[misc]
    """The users in a file, with their exclusion reasons for the actor."""

    def __init__(self, resource: "UserImport", dataset: Any) -> None:
        super().__init__(resource, dataset)
        self.found: dict[str, Any] = {}
        all_users = get_user_model()._default_manager.all()
        names = iter({resource.key_of(cell) for cell in dataset[KEY]})
        while batch := list(islice(names, BATCH_SIZE)):
            named = {f"{KEY}__in": batch}
            visible = set(resource.users.filter(**named).values_list("pk", flat=True))
            for user in with_exclusion_reason(all_users.filter(**named), actor=resource.actor):
                user.visible = user.pk in visible
                self.found[user.get_username()] = user

    def get_instance(self, row: dict[str, str]) -> Any:
        """The user of a row; None for a new one."""
        return self.found.get(row[KEY])


class UserImport(ModelResource):  # type: ignore[misc]
    """Creates users without a password, and changes names and email addresses only."""

    class Meta:
        model = get_user_model()
        fields = import_order = COLUMNS
        import_id_fields = (KEY,)
        instance_loader_class = UserLoader
        skip_unchanged = True
        report_skipped = False
        use_transactions = True

    def __init__(
        self,
        *,
        actor: Any,
        users: QuerySet[Any],
        can_add: bool,
        can_change: Callable[[Any], bool],
    ) -> None:
        super().__init__()
        self.actor, self.users = actor, users
        self.can_add, self.can_change = can_add, can_change
        self.present: list[str] = []
        self.counts: dict[str, Counter[str]] = {}

    @classmethod
    def get_display_name(cls) -> str:
        """The plural name of the user model."""
        return str(cls.Meta.model._meta.verbose_name_plural)

    @classmethod
    def get_diff_class(cls) -> type[UnstyledDiff]:
        """The class that renders the changes."""
        return UnstyledDiff

    def key_of(self, cell: str) -> str:
        """The normalized username of a cell."""
        return str(self.Meta.model.normalize_username(unescape_formula(cell)))

    def import_data(self, dataset: Any, dry_run: bool = False, **kwargs: Any) -> Any:
        """Import all rows or none. A dry run writes nothing, and therefore locks nothing."""
        if problem := self._column_problem(dataset.headers):
            refused = Result()
            refused.append_base_error(Error(UnreadableFile(problem)))
            return refused
        if not dry_run:
            return super().import_data(dataset, **kwargs)
        kwargs.pop("raise_errors", None)
        kwargs.pop("rollback_on_validation_errors", None)
        return self.import_data_inner(dataset, True, False, False, False, **kwargs)

    def _column_problem(self, headers: list[str]) -> str:
        known = {"known": ", ".join(COLUMNS)}
        if unknown := [name for name in headers if name not in COLUMNS]:
            return _(
                "These columns cannot be imported: %(unknown)s. Remove them; "
                "the allowed columns are %(known)s."
            ) % {**known, "unknown": ", ".join(unknown)}
        if KEY not in headers:
            return _("The column %(key)s is missing. It identifies the users.") % {"key": KEY}
        return ""

    def before_import(self, dataset: Any, **kwargs: Any) -> None:
        """Store the columns, and count the values of unique ones."""
        self.present = list(dataset.headers)
        unique = {field.name for field in self.Meta.model._meta.fields if field.unique}
        for name in {KEY, *unique} & set(self.present):
            clean = self.key_of if name == KEY else unescape_formula
            self.counts[name] = Counter(clean(cell) for cell in dataset[name])

    def before_import_row(self, row: dict[str, str], **kwargs: Any) -> None:
        """Undo the escapes of an export."""
        for name, cell in row.items():
            row[name] = self.key_of(cell) if name == KEY else unescape_formula(cell)

    def init_instance(self, row: dict[str, str] | None = None) -> Any:
        """A new user without a usable password."""
        user = super().init_instance(row)
        user.set_unusable_password()
        return user

    def validate_instance(
        self, instance: Any, import_validation_errors: Any = None, validate_unique: bool = True
    ) -> None:
        """Check the actor's permissions for this user, then validate the user."""
        self._require_permission(instance)
        errors = {**(import_validation_errors or {}), **self._problems(instance)}
        exclude = set(errors) | self._absent(instance)
        try:
            instance.full_clean(exclude=exclude, validate_unique=False)
            instance.validate_unique(exclude={KEY, *exclude})  # the loader has looked up all names
        except ValidationError as error:
            errors = error.update_error_dict(errors)
        if errors:
            raise ValidationError(errors)

    def _absent(self, user: Any) -> set[str]:
        """The fields that are not in the file are not validated, unless the user is new."""
        others = {field.name for field in user._meta.fields} - set(self.present)
        return set() if user._state.adding else others

    def _require_permission(self, user: Any) -> None:
        if user._state.adding:
            if not self.can_add:
                raise ValidationError(
                    _("This user does not exist, and you do not have the permission to add users.")
                )
        elif not (user.visible and self.can_change(user)):
            raise ValidationError(_("You do not have the permission to change this user."))
        elif user.exclusion_reason == "outranks":
            # Otherwise the actor could have a reset link sent to an address of their own.
            raise ValidationError(_("This user has permissions that you do not have."))

    def _problems(self, user: Any) -> dict[str, ValidationError]:
        problems = {
            name: problem for name in self.present if (problem := self._problem(user, name))
        }
        address = user.get_email_field_name()
        value = getattr(user, address, "")
        if address not in problems and value and not is_deliverable(value):
            problems[address] = ValidationError(_("Not a valid email address."))
        return problems

    def _problem(self, user: Any, name: str) -> ValidationError | None:
        value = getattr(user, name)
        if any(unicodedata.category(character) == "Cc" for character in value or ""):
            return ValidationError(_("Contains a control character."))
        if self.counts.get(name, {}).get(value, 0) > 1:
            return ValidationError(_("Occurs more than once in the file."))
        return None

    def do_instance_save(self, instance: Any, is_create: bool) -> None:
        """Insert a new user, or update the columns of the file: others may change meanwhile."""
        if is_create:
            instance.save(force_insert=True)
        else:
            instance.save(update_fields=[name for name in self.present if name != KEY])

    def after_import(self, dataset: Any, result: Any, **kwargs: Any) -> None:
        """Do not reset sequences: an import never sets a primary key."""
