"""`manage.py load_demo`: sample users in every condition, and two staff accounts to try rights."""

import secrets
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Permission
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

MOST = 5_000_000
BATCH = 5_000
#: What one user in twenty-five is, by `number % 25`; whoever is not listed is in good order.
ODD = {5: "inactive", 10: "no address", 15: "no password", 20: "refused", 0: "busy"}
DOMAINS = {"refused": "refused.example", "busy": "busy.example"}
#: First and last names by script. Their number is prime to 25, so that all meet all conditions.
PEOPLE = [
    ("Zoë Renée Amélie François", "Lefèvre Müller Garçon Béranger"),
    ("Łukasz Święta Jiří Žofie", "Wałęsa Dvořák Kowalczyk Čapek"),
    ("Þóra Åsa Søren Jürgen", "Ægisson Ångström Kierkegård Weiß"),
    ("İpek Çağla Gülşen Oğuz", "Yıldız Şahin Öztürk Işık"),
    ("Nguyễn Thảo Đức Hạnh", "Trần Phạm Đặng Võ"),
    ("小明 伟 芳 秀英", "王 李 欧阳 陈"),
    ("さくら 翔太 美咲 健一", "佐藤 鈴木 髙橋 渡邊"),
    ("서연 민준 지우 하은", "김 이 박 최"),
    ("فاطمة محمد ليلى يوسف", "الحسن المصري خوري العلي"),
    ("נועה דוד תמר יוסף", "כהן לוי מזרחי פרץ"),
    ("Ελένη Γιώργος Σοφία Νίκος", "Παπαδόπουλος Οικονόμου Ιωάννου Αγγέλου"),
    ("Ольга Фёдор Юлія Сергій", "Кузнецова Шевченко Соловьёв Їжак"),
    ("आशा राहुल प्रिया विक्रम", "शर्मा वर्मा कुमार सिंह"),
]
VIEWS = ("view_operation", "view_result", "view_cause", "view_worker")
VERBS = ("send_reset_email", "retry_failed", "pause", "resume", "abort")
STAFF = {"demo-operator": VIEWS + VERBS, "demo-viewer": VIEWS}


class Command(BaseCommand):
    """A second run adds what is missing and touches nobody who is there."""

    help = "Adds sample users and two staff accounts. Run again, it adds only what is missing."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the number of users."""
        parser.add_argument("--users", type=int, default=250, help="how many (default: 250)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Add them, and say what was added."""
        wanted = options["users"]
        if not isinstance(wanted, int) or not 0 <= wanted <= MOST:
            raise CommandError(f"--users is {wanted}, but must be a number from 0 to {MOST}.")
        staff = [add_staff(name, codenames) for name, codenames in STAFF.items()]
        # Nobody knows this password, so all sample users may share its one, slow hash.
        password = make_password(secrets.token_urlsafe(32))
        numbers = range(1, wanted + 1)
        added = sum(
            add_users(numbers[start : start + BATCH], password=password)
            for start in range(0, wanted, BATCH)
        )
        self.stdout.write(
            f"Added {added} sample users and {sum(staff)} staff accounts; "
            f"{wanted - added} and {len(staff) - sum(staff)} were there already."
        )
        self.stdout.write(
            f"To sign in as {' or '.join(STAFF)}, send a reset email to it and follow the link."
        )


def add_users(numbers: range, *, password: str) -> int:
    """Add those of the users with these numbers who are missing; return how many."""
    model = get_user_model()
    names = {f"demo-{number:06d}": number for number in numbers}
    there = model._default_manager.filter(**{f"{model.USERNAME_FIELD}__in": names})
    for name in there.values_list(model.USERNAME_FIELD, flat=True):
        del names[name]
    users = [sample_user(name, number, password=password) for name, number in names.items()]
    # Whoever runs this at the same moment adds the very same users.
    model._default_manager.bulk_create(users, ignore_conflicts=True)
    return len(users)


def sample_user(name: str, number: int, *, password: str) -> Any:
    """The user of that number: always the same names, and always in the same condition."""
    model = get_user_model()
    oddity = ODD.get(number % 25, "")
    firsts, lasts = (names.split() for names in PEOPLE[number % len(PEOPLE)])
    address = f"{name}@{DOMAINS.get(oddity, 'mail.example')}"
    return model(
        **{
            model.USERNAME_FIELD: name,
            model.get_email_field_name(): "" if oddity == "no address" else address,
            "first_name": firsts[number // len(PEOPLE) % len(firsts)],
            "last_name": lasts[number // len(PEOPLE) // len(firsts) % len(lasts)],
            "is_active": oddity != "inactive",
            "password": make_password(None) if oddity == "no password" else password,
        }
    )


@transaction.atomic
def add_staff(name: str, codenames: tuple[str, ...]) -> bool:
    """Add a member of staff with these rights, and nobody's password; whether it was missing."""
    model = get_user_model()
    person, missing = model._default_manager.get_or_create(
        **{model.USERNAME_FIELD: name},
        defaults={
            "is_staff": True,
            "password": make_password(secrets.token_urlsafe(32)),
            model.get_email_field_name(): f"{name}@mail.example",
        },
    )
    if missing:
        see_users = rights(model._meta.app_label, f"view_{model._meta.model_name}")
        person.user_permissions.set(see_users + rights("tasks_admin", *codenames))
    return missing


def rights(app: str, *codenames: str) -> list[Permission]:
    """The app's permissions of these names; `CommandError` when the database lacks one."""
    found = Permission.objects.filter(content_type__app_label=app, codename__in=codenames)
    if lacking := set(codenames) - {right.codename for right in found}:
        raise CommandError(f"No permission {app}.{min(lacking)} yet. Run manage.py migrate first.")
    return list(found)
