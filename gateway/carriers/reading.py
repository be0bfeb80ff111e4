"""What carriers share: how a request becomes fields, and what a field may hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

import msgspec

from messages.understand import mask_aadhaar

#: No carrier's form has half as many.
MOST_FIELDS = 40
#: Decoded values up to this length are kept for the next hop: service codes, phones, the answers of a session.
KEPT_VALUE = 64
#: PostgreSQL keeps it in no text, and no phone can type it.
ZERO = "holds a zero byte"
#: A phone as Indian carriers write it: bare, with a leading 0, 91 or +91; or any other in international form.
INDIAN = re.compile(r"(?:\+?91|0)?([1-9][0-9]{9})")
FOREIGN = re.compile(r"\+[1-9][0-9]{7,14}")


class Unreadable(Exception):
    """A webhook that nobody could answer: the message names the field and what is wrong with it, and never a value."""


class Ignored(Exception):
    """A webhook that is taken and needs nothing done: the message names the field and why. Bringing it again would not help."""


class Request(NamedTuple):
    """A request as it came: header names are lower case, the query string and the body are as on the wire."""

    headers: Mapping[str, str]
    query: bytes
    body: bytes


def form(request: Request) -> dict[str, str]:
    """The fields of a form. Raises Unreadable for another content type, bytes that are not UTF-8, a repeated field."""
    if media_type(request.headers.get("content-type", "")) != "application/x-www-form-urlencoded":
        raise Unreadable("content-type: application/x-www-form-urlencoded is expected")
    return _pairs(request.body, "body: the form")


def query(request: Request) -> dict[str, str]:
    """The fields of a query string, under the same rules."""
    return _pairs(request.query, "query: the query string")


def json(request: Request) -> dict[str, str]:
    """The fields of a flat JSON object: numbers and booleans as they are written, null as if it were left out."""
    if media_type(request.headers.get("content-type", "")) != "application/json":
        raise Unreadable("content-type: application/json is expected")
    try:
        fields = msgspec.json.decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Unreadable("body: not JSON") from None
    if not isinstance(fields, dict) or len(fields) > MOST_FIELDS:
        raise Unreadable(f"body: a JSON object of at most {MOST_FIELDS} fields is expected")
    return {name: _plain(name, value) for name, value in fields.items() if value is not None}


def required(fields: Mapping[str, str], name: str, longest: int = 128) -> str:
    """A field that must be there."""
    value = fields.get(name, "").strip()
    if not value:
        raise Unreadable(f"{name}: missing")
    if len(value) > longest:
        raise Unreadable(f"{name}: longer than {longest}")
    return value


def mobile(fields: Mapping[str, str], name: str) -> str:
    """A phone in E.164. Whatever else calls itself a sender (a header, a service number) is a machine, and two machines
    would answer each other for ever: Ignored."""
    written = required(fields, name, 40)
    if indian := INDIAN.fullmatch(written):
        return f"+91{indian[1]}"
    if FOREIGN.fullmatch(written):
        return written
    raise Ignored(f"{name}: not a phone")


def mark(text: str) -> str:
    """What stands for a text in a hop's id: ids are kept and logged, and a text may be anything. Of an Aadhaar-looking number it
    tells no more than the masked text does: the digits that are left are few enough to be tried out."""
    return blake2b(mask_aadhaar(text)[0].encode(), digest_size=8).hexdigest()


@lru_cache(maxsize=64)
def media_type(header: str) -> str:
    """A content type without its parameters."""
    return header.partition(";")[0].strip().lower()


def _pairs(encoded: bytes, what: str) -> dict[str, str]:
    """The fields of `a=1&b=2`. Read by hand, since it is the dearest part of reading a hop and most values come again."""
    fields: dict[str, str] = {}
    try:
        pieces = encoded.decode("ascii").split("&")
        if len(pieces) > MOST_FIELDS:
            raise Unreadable(f"{what.partition(':')[0]}: more than {MOST_FIELDS} fields")
        for piece in pieces:
            name, _, value = piece.partition("=")
            if "%" in piece or "+" in piece:
                name, value = _decoded(name), _decoded(value)
            if name in fields:
                raise Unreadable(f"{_name(name)}: comes more than once")
            if "\0" in value:
                raise Unreadable(f"{_name(name)}: {ZERO}")
            if piece:
                fields[name] = value
    except UnicodeDecodeError:
        raise Unreadable(f"{what} is not percent-encoded UTF-8") from None
    return fields


def _decoded(value: str) -> str:
    return _unquoted(value) if len(value) <= KEPT_VALUE else unquote_plus(value, errors="strict")


@lru_cache(maxsize=4096)
def _unquoted(value: str) -> str:
    return unquote_plus(value, errors="strict")


def _name(field: str) -> str:
    """A field as an answer and a log may name it: one that is no plain word may hold anything."""
    return field if re.fullmatch("[A-Za-z_-]{1,40}", field) else "a field"


def _plain(name: str, value: Any) -> str:
    if isinstance(value, str):
        if "\0" in value:
            raise Unreadable(f"{_name(name)}: {ZERO}")
        return value
    if isinstance(value, int | float):
        return msgspec.json.encode(value).decode()
    raise Unreadable(f"{_name(name)}: a text or a number is expected")
