"""`manage.py load_demo`: sample users in all conditions, and two staff users with permissions."""

import secrets
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Permission
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

MAX_USERS = 5_000_000
BATCH_SIZE = 5_000
#: The condition of a user by `number % 25`. The other users can receive reset emails.
CONDITIONS = {5: "inactive", 10: "no address", 15: "no password", 20: "refused", 0: "busy"}
DOMAINS = {"refused": "refused.example", "busy": "busy.example"}
#: First and last names by script. There are 13: coprime to 25, so each meets all conditions.
NAMES = [
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
VIEW_PERMISSIONS = ("view_operation", "view_result", "view_failuregroup", "view_worker")
ACTION_PERMISSIONS = ("send_reset_email", "retry_failed", "pause", "resume", "abort")
STAFF = {
    "demo-operator": VIEW_PERMISSIONS + ACTION_PERMISSIONS,
    "demo-viewer": VIEW_PERMISSIONS,
}


class Command(BaseCommand):
    """Adds the missing sample users and leaves existing users unchanged."""

    help = "Add sample users and two staff users. Users that exist already are left unchanged."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the option --users."""
        parser.add_argument(
            "--users", type=int, default=250, help="number of sample users (default: 250)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Add the users and print how many were added."""
        count = options["users"]
        if not isinstance(count, int) or not 0 <= count <= MAX_USERS:
            raise CommandError(f"--users must be a number from 0 to {MAX_USERS:,}, not {count}.")
        added_staff = [add_staff(name, codenames) for name, codenames in STAFF.items()]
        # The password is discarded, so all sample users may share one hash, which is slow to make.
        password = make_password(secrets.token_urlsafe(32))
        numbers = range(1, count + 1)
        added = sum(
            add_users(numbers[start : start + BATCH_SIZE], password=password)
            for start in range(0, count, BATCH_SIZE)
        )
        self.stdout.write(
            f"Added {added:,} sample users and {sum(added_staff)} staff users. {count - added:,} "
            f"sample users and {len(added_staff) - sum(added_staff)} staff users already existed."
        )
        self.stdout.write(
            f"To sign in as {' or '.join(STAFF)}, send a reset email to that user and follow its "
            "link."
        )


def add_users(numbers: range, *, password: str) -> int:
    """Add the missing users of these numbers; return how many were added."""
    model = get_user_model()
    names = {f"demo-{number:06d}": number for number in numbers}
    existing = model._default_manager.filter(**{f"{model.USERNAME_FIELD}__in": names})
    for name in existing.values_list(model.USERNAME_FIELD, flat=True):
        del names[name]
    users = [sample_user(name, number, password=password) for name, number in names.items()]
    # A concurrent run adds exactly the same users.
    model._default_manager.bulk_create(users, ignore_conflicts=True)
    return len(users)


def sample_user(name: str, number: int, *, password: str) -> Any:
    """Return the user of that number, with the same names and condition in each run."""
    model = get_user_model()
    condition = CONDITIONS.get(number % 25, "")
    firsts, lasts = (names.split() for names in NAMES[number % len(NAMES)])
    address = f"{name}@{DOMAINS.get(condition, 'mail.example')}"
    return model(
        **{
            model.USERNAME_FIELD: name,
            model.get_email_field_name(): "" if condition == "no address" else address,
            "first_name": firsts[number // len(NAMES) % len(firsts)],
            "last_name": lasts[number // len(NAMES) // len(firsts) % len(lasts)],
            "is_active": condition != "inactive",
            "password": make_password(None) if condition == "no password" else password,
        }
    )


@transaction.atomic
def add_staff(name: str, codenames: tuple[str, ...]) -> bool:
    """Add a staff user with these permissions and a random password, unless it exists.

    Returns whether the user was added.
    """
    model = get_user_model()
    user, created = model._default_manager.get_or_create(
        **{model.USERNAME_FIELD: name},
        defaults={
            "is_staff": True,
            "password": make_password(secrets.token_urlsafe(32)),
            model.get_email_field_name(): f"{name}@mail.example",
        },
    )
    if created:
        view_users = permissions(model._meta.app_label, f"view_{model._meta.model_name}")
        user.user_permissions.set(view_users + permissions("tasks_admin", *codenames))
    return created


def permissions(app: str, *codenames: str) -> list[Permission]:
    """Return the app's permissions; raise `CommandError` if the database lacks one."""
    found = Permission.objects.filter(content_type__app_label=app, codename__in=codenames)
    if missing := set(codenames) - {permission.codename for permission in found}:
        raise CommandError(
            f"The permission {app}.{min(missing)} does not exist. Run manage.py migrate first."
        )
    return list(found)
