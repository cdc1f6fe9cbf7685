"""The token in a reset link: its payload, and how it is signed and parsed."""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext as _
from itsdangerous import BadData, SignatureExpired, URLSafeTimedSerializer

from tasks_admin.integrations.mail.addresses import address_of
from tasks_admin.lib.conf import settings
from tasks_admin.lib.errors import LinkExpired, LinkInvalid

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: A token has some 170 characters; longer input is not parsed.
MAX_LENGTH = 512


@dataclass(frozen=True, kw_only=True)
class Payload:
    """The content of a token with a valid signature."""

    #: As text: the type of a primary key depends on the user model.
    user_pk: Any
    generation: int
    fingerprint: str


def sign(user: "User", generation: int) -> str:
    """Return the token for one generation of a user's links. Only the worker calls this."""
    fingerprint = _fingerprint(user, django_settings.SECRET_KEY)
    return _serializer().dumps([str(user.pk), generation, fingerprint])


def parse(token: object) -> Payload:
    """Return the payload of a token; raises `LinkExpired` or `LinkInvalid`, and nothing else."""
    invalid = LinkInvalid(_("It is incomplete, or it was not issued by this site."))
    if not isinstance(token, str) or not token.isascii() or len(token) > MAX_LENGTH:
        raise invalid
    try:
        content = _serializer().loads(token, max_age=settings.RESET_TIMEOUT)
        user_pk, generation, fingerprint = content
        return Payload(
            user_pk=str(user_pk), generation=int(generation), fingerprint=str(fingerprint)
        )
    except SignatureExpired:
        raise LinkExpired(_("It has expired.")) from None
    except (BadData, TypeError, ValueError, OverflowError):
        raise invalid from None


def matches(payload: Payload, user: "User") -> bool:
    """Whether the account has not changed since the token was signed."""
    keys = [django_settings.SECRET_KEY, *django_settings.SECRET_KEY_FALLBACKS]
    return any(constant_time_compare(payload.fingerprint, _fingerprint(user, key)) for key in keys)


def _fingerprint(user: "User", key: str) -> str:
    """A digest of the state that must not change: password, email address, active or not."""
    state = "\x00".join([user.password, address_of(user), str(user.is_active)])
    salt = "tasks_admin.tokens.fingerprint"
    return salted_hmac(salt, state, secret=key, algorithm="sha256").hexdigest()[:32]


def _serializer() -> URLSafeTimedSerializer:
    """Sign with SECRET_KEY; accept the fallback keys, too.

    itsdangerous signs with the *last* key; Django's fallbacks are ordered from newest to oldest.
    """
    return URLSafeTimedSerializer(
        [*reversed(django_settings.SECRET_KEY_FALLBACKS), django_settings.SECRET_KEY],
        salt="tasks_admin.tokens.reset.v1",
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )
