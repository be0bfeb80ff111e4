"""Settings: every number has an end, every name is known, and what is wrong is said in one line that names it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from gateway.settings import BadSetting, Settings, UssdPlatform, load


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def numbers(annotation: Any, metadata: list[Any]) -> Iterator[list[Any]]:
    """What each number in a type is bound by."""
    if annotation in (int, float):
        yield metadata
    elif hasattr(annotation, "__metadata__"):
        bounds = [
            one for given in annotation.__metadata__ for one in (given.metadata if isinstance(given, FieldInfo) else [given])
        ]
        yield from numbers(annotation.__origin__, bounds)
    elif get_origin(annotation):
        for inner in get_args(annotation):
            yield from numbers(inner, [])


@pytest.mark.parametrize("model", [Settings, UssdPlatform])
def test_every_number_has_an_end_on_both_sides(model: type[Settings] | type[UssdPlatform]) -> None:
    for name, field in model.model_fields.items():
        for bounds in numbers(field.annotation, field.metadata):
            kinds = {type(bound) for bound in bounds}
            assert Le in kinds and kinds & {Ge, Gt}, f"GATEWAY_{name.upper()} may be anything"  # noqa: PT018


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("PORTT", "1", "GATEWAY_PORTT: there is no such setting; is it GATEWAY_PORT?"),
        ("keep_texts_days", "90", "GATEWAY_KEEP_TEXTS_DAYS: there is no such setting; is it GATEWAY_KEEP_TEXT_DAYS?"),
        ("XYZZY", "1", "GATEWAY_XYZZY: there is no such setting; `gateway settings` names all"),
        ("KEEP_TEXT_DAYS", "-1", "GATEWAY_KEEP_TEXT_DAYS: Input should be greater than or equal to 1"),
        ("KEEP_LOG_DAYS", "999999999999", "GATEWAY_KEEP_LOG_DAYS: Input should be less than or equal to 36500"),
        ("SEND_TIMEOUT", "-1", "GATEWAY_SEND_TIMEOUT: Input should be greater than 0"),
        ("SEND_TIMEOUT", "inf", "GATEWAY_SEND_TIMEOUT: Input should be less than or equal to 86400"),
        ("API_CLIENTS", '{"billing": "secret"}', "GATEWAY_API_CLIENTS: billing: String should match pattern '^[0-9a-f]{64}$'"),
        ("RATES", '{"kanel": 20}', "rates: kanel is no carrier; there are africastalking, kannel, mobileseva"),
        ("RATES", '{"kannel": 0}', "GATEWAY_RATES: kannel: Input should be greater than or equal to 0.001"),
        ("RATES", "kannel=20", 'GATEWAY_RATES: this is not JSON: write it like {"name": ...}'),
        ("ROUTES", "*: kannel", 'GATEWAY_ROUTES: this is not JSON: write it like ["...", "..."]'),
        ("USSD_PLATFORMS", '{"bsnl": {"reads": "xml"}}',
         "GATEWAY_USSD_PLATFORMS: bsnl: reads: Input should be 'form', 'json' or 'query'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, value: str, why: str) -> None:
    monkeypatch.setenv(f"GATEWAY_{name}", value)
    with pytest.raises(BadSetting) as refused:
        load()
    assert str(refused.value) == why
    monkeypatch.delenv(f"GATEWAY_{name}")
    (folder / ".env").write_text(f"GATEWAY_{name}='{value}'\n")
    with pytest.raises(BadSetting) as refused:
        load()
    assert str(refused.value) == why
    load(_env_file=None)


def test_what_is_not_ours_is_passed_over(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("GATEWAY_TESTS_SKIP_NOTHING", "1")
    (folder / ".env").write_text("POSTGRES_PASSWORD=x\n# GATEWAY_PORTT=1\ngateway_port=8001\n")
    assert load().port == 8001
