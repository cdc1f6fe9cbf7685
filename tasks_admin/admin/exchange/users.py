"""The import of users: what each row may do, and what it must look like."""

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
from tasks_admin.admin.exchange.cells import unguard
from tasks_admin.admin.exchange.errors import Unreadable
from tasks_admin.admin.exchange.resources import importable
from tasks_admin.integrations.mail.addresses import is_deliverable

COLUMNS = importable()
KEY = COLUMNS[0]
#: Users that are looked up by name in one query.
BATCH = 500


class PlainDiff(Diff):  # type: ignore[misc]
    """Before and after. The stock one colours them with inline styles, which our pages forbid."""

    def as_html(self) -> list[str]:
        """Return a cell for each column."""
        return [self._cell(*pair) for pair in zip(self.left, self.right, strict=True)]

    def _cell(self, before: str, after: str) -> str:
        if self.new or before == after:
            return format_html("{}", after)
        return format_html("<del>{}</del> <ins>{}</ins>", before, after)


class JudgedLoader(BaseInstanceLoader):  # type: ignore[misc]
    """The users that a file names, each with the verdict whether the actor may touch them."""

    def __init__(self, resource: "UserImport", dataset: Any) -> None:
        super().__init__(resource, dataset)
        self.found: dict[str, Any] = {}
        everybody = get_user_model()._default_manager.all()
        names = iter({resource.key_of(cell) for cell in dataset[KEY]})
        while some := list(islice(names, BATCH)):
            named = {f"{KEY}__in": some}
            shown = set(resource.users.filter(**named).values_list("pk", flat=True))
            for user in with_exclusion_reason(everybody.filter(**named), actor=resource.actor):
                user.shown = user.pk in shown
                self.found[user.get_username()] = user

    def get_instance(self, row: dict[str, str]) -> Any:
        """Return the user whom a row names; None when there is none."""
        return self.found.get(row[KEY])


class UserImport(ModelResource):  # type: ignore[misc]
    """New users without a password, and changed names and addresses; nothing else."""

    class Meta:
        model = get_user_model()
        fields = import_order = COLUMNS
        import_id_fields = (KEY,)
        instance_loader_class = JudgedLoader
        skip_unchanged = True
        report_skipped = False
        use_transactions = True

    def __init__(
        self,
        *,
        actor: Any,
        users: QuerySet[Any],
        may_add: bool,
        may_change: Callable[[Any], bool],
    ) -> None:
        super().__init__()
        self.actor, self.users = actor, users
        self.may_add, self.may_change = may_add, may_change
        self.present: list[str] = []
        self.counts: dict[str, Counter[str]] = {}

    @classmethod
    def get_display_name(cls) -> str:
        """What is imported."""
        return str(cls.Meta.model._meta.verbose_name_plural)

    @classmethod
    def get_diff_class(cls) -> type[PlainDiff]:
        """What shows the changes."""
        return PlainDiff

    def key_of(self, cell: str) -> str:
        """Return the name that a cell means, spelt as the user model spells names."""
        return str(self.Meta.model.normalize_username(unguard(cell)))

    def import_data(self, dataset: Any, dry_run: bool = False, **kwargs: Any) -> Any:
        """Import all rows or none. A rehearsal writes nothing, and so locks nothing."""
        if problem := self._misfit(dataset.headers):
            refused = Result()
            refused.append_base_error(Error(Unreadable(problem)))
            return refused
        if not dry_run:
            return super().import_data(dataset, **kwargs)
        kwargs.pop("raise_errors", None)
        kwargs.pop("rollback_on_validation_errors", None)
        return self.import_data_inner(dataset, True, False, False, False, **kwargs)

    def _misfit(self, headers: list[str]) -> str:
        known = {"known": ", ".join(COLUMNS)}
        if unknown := [name for name in headers if name not in COLUMNS]:
            return _(
                "These columns can't be imported: %(unknown)s. Remove them; "
                "a file may have the columns %(known)s."
            ) % {**known, "unknown": ", ".join(unknown)}
        if KEY not in headers:
            return _("The column %(key)s is missing: it says who is meant.") % {"key": KEY}
        return ""

    def before_import(self, dataset: Any, **kwargs: Any) -> None:
        """Note which columns there are, and what occurs how often where it may occur once."""
        self.present = list(dataset.headers)
        unique = {field.name for field in self.Meta.model._meta.fields if field.unique}
        for name in {KEY, *unique} & set(self.present):
            clean = self.key_of if name == KEY else unguard
            self.counts[name] = Counter(clean(cell) for cell in dataset[name])

    def before_import_row(self, row: dict[str, str], **kwargs: Any) -> None:
        """Take the guards of an export off again."""
        for name, cell in row.items():
            row[name] = self.key_of(cell) if name == KEY else unguard(cell)

    def init_instance(self, row: dict[str, str] | None = None) -> Any:
        """Return a new user, whom no password lets in."""
        user = super().init_instance(row)
        user.set_unusable_password()
        return user

    def validate_instance(
        self, instance: Any, import_validation_errors: Any = None, validate_unique: bool = True
    ) -> None:
        """Refuse what the actor may not do to this user, then what the user model refuses."""
        self._permit(instance)
        errors = {**(import_validation_errors or {}), **self._faults(instance)}
        exclude = set(errors) | self._untouched(instance)
        try:
            instance.full_clean(exclude=exclude, validate_unique=False)
            instance.validate_unique(exclude={KEY, *exclude})  # names were all looked up at once
        except ValidationError as error:
            errors = error.update_error_dict(errors)
        if errors:
            raise ValidationError(errors)

    def _untouched(self, user: Any) -> set[str]:
        """What the file doesn't name is not its business, unless the user is new."""
        others = {field.name for field in user._meta.fields} - set(self.present)
        return set() if user._state.adding else others

    def _permit(self, user: Any) -> None:
        if user._state.adding:
            if not self.may_add:
                raise ValidationError(_("There is no such user, and you may not add users."))
        elif not (user.shown and self.may_change(user)):
            raise ValidationError(_("You may not change this user."))
        elif user.exclusion_reason == "outranks":
            # Who can change an address can have a reset link sent to it.
            raise ValidationError(_("This user holds permissions that you lack."))

    def _faults(self, user: Any) -> dict[str, ValidationError]:
        faults = {name: fault for name in self.present if (fault := self._fault(user, name))}
        address = user.get_email_field_name()
        value = getattr(user, address, "")
        if address not in faults and value and not is_deliverable(value):
            faults[address] = ValidationError(_("Not an address that mail can be sent to."))
        return faults

    def _fault(self, user: Any, name: str) -> ValidationError | None:
        value = getattr(user, name)
        if any(unicodedata.category(character) == "Cc" for character in value or ""):
            return ValidationError(_("Holds a control character."))
        if self.counts.get(name, {}).get(value, 0) > 1:
            return ValidationError(_("Occurs more than once in the file."))
        return None

    def do_instance_save(self, instance: Any, is_create: bool) -> None:
        """Write a new user, or the columns of the file: nothing that others change meanwhile."""
        if is_create:
            instance.save(force_insert=True)
        else:
            instance.save(update_fields=[name for name in self.present if name != KEY])

    def after_import(self, dataset: Any, result: Any, **kwargs: Any) -> None:
        """Leave the sequences alone: we never choose a primary key."""
