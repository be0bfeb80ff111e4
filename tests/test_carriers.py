"""The contract every carrier keeps, held against what really comes over the wire: tests/carriers/<name>/<door>.toml.

A new carrier brings payloads, is switched on in the `settings` of tests/conftest.py, and is tested.
"""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as chance
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.app import Gateway
from gateway.carriers import Door, Heard, Ignored, Request, Unreadable
from gateway.records import Answer, Inbound
from messages import Limits

FOLDER = Path(__file__).with_name("carriers")
PAYLOADS = [
    pytest.param(file.parent.name, file.stem, payload, id=f"{file.parent.name}/{file.stem}: {payload['what']}")
    for file in sorted(FOLDER.glob("*/*.toml"))
    for payload in tomllib.loads(file.read_text(encoding="utf-8"))["payload"]
]
CARRIERS = sorted({"phone", *(folder.name for folder in FOLDER.iterdir() if folder.is_dir() and any(folder.glob("*.toml")))})
ANSWERS = [Answer("बिल: 1240 रु\n1 जानकारी", False, "bill.show", "hi"), Answer("Rs 1240", True, "bill.show", "en")]


def hear(door: Door, payload: dict[str, Any]) -> Heard:
    """As the webhook does: the request is read, then understood."""
    media = {"content-type": "application/x-www-form-urlencoded"} if door.method == "POST" else {}
    headers = {**media, **payload.get("headers", {})}
    body = bytes.fromhex(payload["hex"]) if "hex" in payload else payload.get("body", "").encode()
    request = Request(headers, payload.get("query", "").encode(), body)
    return door.hear(door.read(request), headers)


def why_not(door: Door, payload: dict[str, Any]) -> str | None:
    """Why it was not heard."""
    try:
        hear(door, payload)
    except (Unreadable, Ignored) as why:
        return str(why)
    return None


@pytest.mark.parametrize(("carrier", "name", "payload"), PAYLOADS)
def test_what_comes_is_heard(gateway: Gateway, carrier: str, name: str, payload: dict[str, Any]) -> None:
    door = gateway.carriers[carrier].doors[name]
    if "heard" not in payload:
        kind, line = (Unreadable, payload["refused"]) if "refused" in payload else (Ignored, payload["ignored"])
        with pytest.raises(kind) as refusal:
            hear(door, payload)
        assert str(refusal.value) == line
        return
    heard = hear(door, payload)
    assert heard.carrier == carrier
    for field, expected in payload["heard"].items():
        value = getattr(heard, field)
        assert (list(value) if isinstance(value, tuple) else value) == expected, field
    if isinstance(heard, Inbound):
        again = hear(door, payload)
        assert replace(heard, at=again.at) == again, "delivered again it must be known again"
        assert heard.at.tzinfo
        assert heard.channel == "ussd" or not heard.session


@pytest.mark.parametrize("carrier", CARRIERS)
def test_no_two_are_taken_for_the_same(gateway: Gateway, carrier: str) -> None:
    ids = [
        heard.id
        for name, door in gateway.carriers[carrier].doors.items()
        for param in PAYLOADS
        if param.values[:2] == (carrier, name) and "heard" in (payload := dict(param.values[2]))  # type: ignore[call-overload]
        if isinstance(heard := hear(door, payload), Inbound)
    ]
    assert len({*ids}) == len(ids)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_shape(gateway: Gateway, carrier: str) -> None:
    one = gateway.carriers[carrier]
    assert one.name == carrier
    assert isinstance(one.limits("sms"), Limits)
    assert one.limits("sms").channel == "sms"
    for name, door in one.doors.items():
        assert name.replace("-", "").isalnum()
        assert door.method in ("GET", "POST")
        for answer in ANSWERS if name == "ussd" else ():
            asked = Inbound("1", carrier, "+919155000001", "ussd", "", datetime.now(UTC), "s1")
            body = door.answer(answer, asked).decode()  # type: ignore[misc]
            shown = "\n".join(json.loads(body).values()) if door.media == "application/json" else body
            assert answer.page in shown
            if door.headers:
                for key, value in door.headers(answer).items():
                    assert key == key.lower()
                    assert len(value) <= 99
                    assert value.isascii()
                    assert "|" not in value
                    assert "1240" not in value


@pytest.mark.parametrize("carrier", CARRIERS)
def test_anything_is_understood_or_refused(gateway: Gateway, carrier: str) -> None:
    """Whatever stands in the fields: it is heard, refused or ignored, and a refusal never repeats what somebody wrote."""
    fields = sorted(
        {
            pair.partition("=")[0]
            for p in PAYLOADS
            if p.values[0] == carrier
            for pair in f"{p.values[2].get('body', '')}&{p.values[2].get('query', '')}".split("&")
        }
    )  # type: ignore[index, union-attr]
    value = st.text(max_size=60) | st.sampled_from(["", " ", "+919155000001", "*384*1912#", "56161", "*" * 50, "\x00", "9" * 500])
    forms = st.dictionaries(st.sampled_from(fields or ["x"]), value.map(lambda text: f"{text}CANARY"[-120:]), max_size=8)

    @chance(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(forms)
    def any_form(form: dict[str, str]) -> None:
        encoded = urlencode(form, errors="surrogatepass")
        for door in gateway.carriers[carrier].doors.values():
            line = why_not(door, {"body": encoded, "query": encoded})
            assert line is None or ":" in line
            assert "CANARY" not in (line or "")

    any_form()
