"""What proves who somebody is: a password kept as argon2id, and, for who wants it, a code from an app (TOTP)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from string import punctuation

import pyotp
import segno
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn import zxcvbn

#: Passwords have no other rule than being long enough and hard to guess (ASVS 5.0, 6.2.1, 6.2.4 and 6.2.9).
SHORTEST, LONGEST = 15, 128
#: Words of this place and trade: a password made of little else counts as easy (ASVS 5.0, 6.1.2 and 6.2.11; docs/accounts.md).
CONTEXT = ("bijli", "bijlee", "urjas", "sbpdcl", "nbpdcl", "bsphcl", "buxar", "bihar", "patna", "suvidha", "1912",
           "electricity", "meter", "consumer", "password", "supervisor", "administrator", "section", "centre")  # fmt: skip
#: Failed tries under one name from one address, from one address, and under one name from anywhere, and the span in which they
#: count: who tries names from elsewhere does not lock their owners out (ASVS 5.0, 6.1.1 and 6.3.1).
TRIES_HERE, TRIES_ADDRESS, TRIES_NAME, TRIES_SPAN = 5, 30, 50, timedelta(minutes=15)
#: How long a password that was handed over is good, unless it is used before (ASVS 5.0, 6.4.1).
HANDED_FOR = timedelta(days=7)
#: So many characters must be left without those words.
OWN = 8
#: zxcvbn's 0 to 4: from 3 on a password withstands a determined guess.
HARD_ENOUGH = 3
#: A one-time password: letters and digits that nobody mistakes for each other.
_CLEAR = "abcdefghjkmnpqrstuvwxyz23456789"
#: A clock may be this many half minutes off.
DRIFT = 1
STEP_SECONDS = 30

_hasher = PasswordHasher()  # argon2id with the parameters of RFC 9106 for low memory, the package's default


def hashed(password: str) -> str:
    """A password as it is kept."""
    return _hasher.hash(password)


@lru_cache(maxsize=1)
def _nobody() -> str:
    return hashed(secrets.token_urlsafe(16))


def is_right(password: str, kept: str) -> bool:
    """Whether this is the password kept; for an account that is not there (`kept` empty) it takes just as long to say no."""
    try:
        return _hasher.verify(kept or _nobody(), password[:LONGEST]) and bool(kept) and len(password) <= LONGEST
    except (VerificationError, InvalidHashError):
        return False


def is_stale(kept: str) -> bool:
    """Whether a hash was made with weaker parameters than today's."""
    return _hasher.check_needs_rehash(kept)


def weakness(password: str, name: str, company: str) -> str:
    """Why a password is not good enough, as a key of words.toml; empty if it is."""
    if not SHORTEST <= len(password) <= LONGEST:
        return "password_length"
    known = [name.lower(), *company.lower().split(), *CONTEXT]
    if len(_without(password, known)) < OWN or int(zxcvbn(password[:72], user_inputs=known)["score"]) < HARD_ENOUGH:
        return "password_easy"
    return ""


def _without(password: str, known: Sequence[str]) -> str:
    """What is left of a password besides words that everybody here would try first."""
    left = password.lower()
    for word in sorted(known, key=len, reverse=True):
        left = left.replace(word, "")
    return left.translate(dict.fromkeys(map(ord, punctuation + " ")))


def one_time_password() -> str:
    """A password to be handed over and changed at the first login: four groups of four, 79 bits."""
    return "-".join("".join(secrets.choice(_CLEAR) for _ in range(4)) for _ in range(4))


# --- the second factor ------------------------------------------------------------------------------------------------


def new_secret() -> str:
    """A secret for an authenticator app, 160 bits in base 32."""
    return pyotp.random_base32()


def picture(secret: str, name: str, company: str) -> str:
    """The secret as an SVG picture an app can photograph."""
    address = pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=company)
    return str(segno.make(address, error="m").svg_inline(scale=5, svgclass="qr", lineclass=None, omitsize=False))


def step_of(code: str, secret: str, now: datetime) -> int:
    """The time step whose code this is, 0 if of none near now."""
    at = int(now.timestamp()) // STEP_SECONDS
    one_time = pyotp.TOTP(secret)
    steps = (step for step in range(at - DRIFT, at + DRIFT + 1) if secrets.compare_digest(one_time.at(step * STEP_SECONDS), code))
    return next(steps, 0)
