"""The token in a reset link: what it says, and how it is signed and read."""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext as _
from itsdangerous import BadData, SignatureExpired, URLSafeTimedSerializer

from tasks_admin.integrations.mail.addresses import address_of
from tasks_admin.lib.conf import settings
from tasks_admin.lib.errors import LinkExpired, LinkRefused

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: Ours are some 170 characters long; what is longer is not parsed.
LONGEST = 512


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a token that was really ours says."""

    #: As text: user models differ in the kind of their keys.
    user_pk: Any
    generation: int
    fingerprint: str


def sign(user: "User", generation: int) -> str:
    """Make the token for one generation of one user's links. It is made in the worker alone."""
    fingerprint = _fingerprint(user, django_settings.SECRET_KEY)
    return _serializer().dumps([str(user.pk), generation, fingerprint])


def read(token: object) -> Claim:
    """Return what the token says; raises `LinkExpired` or `LinkRefused`, and nothing else."""
    refused = LinkRefused(_("This link is not one of ours, or it was not copied whole."))
    if not isinstance(token, str) or not token.isascii() or len(token) > LONGEST:
        raise refused
    try:
        payload = _serializer().loads(token, max_age=settings.RESET_TIMEOUT)
        user_pk, generation, fingerprint = payload
        return Claim(user_pk=str(user_pk), generation=int(generation), fingerprint=str(fingerprint))
    except SignatureExpired:
        raise LinkExpired(_("This link is too old.")) from None
    except (BadData, TypeError, ValueError, OverflowError):
        raise refused from None


def fits(claim: Claim, user: "User") -> bool:
    """Whether the account is still as it was when the token was made."""
    keys = [django_settings.SECRET_KEY, *django_settings.SECRET_KEY_FALLBACKS]
    return any(constant_time_compare(claim.fingerprint, _fingerprint(user, key)) for key in keys)


def _fingerprint(user: "User", key: str) -> str:
    """Digest what must not have changed: the password, the address, whether it is active."""
    state = "\x00".join([user.password, address_of(user), str(user.is_active)])
    salt = "tasks_admin.tokens.fingerprint"
    return salted_hmac(salt, state, secret=key, algorithm="sha256").hexdigest()[:32]


def _serializer() -> URLSafeTimedSerializer:
    """Sign with SECRET_KEY, accept the fallbacks too.

    itsdangerous signs with the *last* key, Django's fallbacks run from newest to oldest.
    """
    return URLSafeTimedSerializer(
        [*reversed(django_settings.SECRET_KEY_FALLBACKS), django_settings.SECRET_KEY],
        salt="tasks_admin.tokens.reset.v1",
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )
