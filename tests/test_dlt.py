"""Registered texts: what is compared, what comes back from the operators, and what the lint does not let through."""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows import FLOWS
from flows.records import Text
from gateway.app import Gateway
from gateway.records import Report
from gateway.settings import BadSetting, Settings, load
from gateway.store.queue import Queue
from gateway.templates import export_sheet, import_sheet, open_registry
from messages import Limits, Voice, catalogue, dlt
from messages.catalogue import MissingText
from messages.dlt import COLUMNS, Approval, Registry, fault_of, rules
from messages.lint import lint
from tests import town
from tests.conftest import Clock

HOUSE = Settings.model_construct().house()
VOICE = Voice(HOUSE)
REGISTRY = Registry(VOICE.catalogues)
ID = "1307161234567890123"


# --- how a text may leave -------------------------------------------------------------------------------------------------


def test_an_answer_is_live_and_fresh() -> None:
    how = rules("bill.show")
    assert (how.key, how.category, how.lane, how.delivery) == ("bill.show", "reply", "live", "fresh")
    assert how.fresh_for == timedelta(minutes=10)
    assert not how.information
    assert not how.waits


def test_a_pushed_text_without_a_table_is_named() -> None:
    with pytest.raises(MissingText, match=r"no table \[sms.nothing\]"):
        rules("sms.nothing")


def test_every_pushed_text_says_how_it_leaves() -> None:
    tables = tomllib.loads((Path(catalogue.__file__).parent / "meta.toml").read_text(encoding="utf-8"))["sms"]
    for lang, one in VOICE.catalogues.items():
        assert {f"sms.{key}" for key in tables} == set(dlt.pushed(one)), lang
    for key in tables:
        how = rules(f"sms.{key}")
        assert how.lane in ("live", "notice", "bulk")
        assert not (how.information and how.statutory)
        assert how.category == "service_implicit"


# --- the check before sending ---------------------------------------------------------------------------------------------


def said(key: str, lang: str, **args: object) -> str:
    return VOICE.say(Text("sms", key, args), lang, Limits("sms", parts=3)).pages[0]


METER = said("filed_meter", "en", ticket="40000012")


@pytest.mark.parametrize("lang", VOICE.catalogues)
@pytest.mark.parametrize("ticket", ["40000012", "1"])
def test_a_text_as_said_matches(lang: str, ticket: str) -> None:
    assert REGISTRY.check(said("filed_meter", lang, ticket=ticket), "sms.filed_meter", lang) is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: text + ".", "goes on with '.'"),
        (lambda text: text.replace("registered", "Registered"), "registered is ' registered."),
        (lambda text: text.replace(". ", ".  ", 1), "the text has"),
        (lambda text: "x" + text, "registered is 'SBPDCL: Meter complaint '"),
        (lambda text: text.replace("40000012", "4000-0012"), "{ticket} may hold digits only, not '4000-0012'"),
        (lambda text: text.replace("40000012", "4" * 31), "{ticket} may hold 30 characters"),
        (lambda text: text.replace("40000012", ""), "digits only, not ''"),
        (lambda text: text.replace("Help", "मदद"), "the text has"),
    ],
)
def test_a_difference_is_said(change: Callable[[str], str], why: str) -> None:
    found = REGISTRY.check(change(METER), "sms.filed_meter", "en")
    assert found
    assert why in found
    assert found.startswith("sms.filed_meter/en: ")


@given(st.text(max_size=60))
def test_whatever_is_said_a_check_answers(text: str) -> None:
    assert REGISTRY.check(text, "sms.filed_meter", "hi")


def test_answers_need_no_template() -> None:
    assert Registry(VOICE.catalogues, profile="india").check("anything", "bill.show", "hi") is None


def test_india_refuses_what_has_no_id() -> None:
    registry = Registry(VOICE.catalogues, profile="india", approvals=[approval("sms.filed_meter", "en")])
    assert registry.check(METER, "sms.filed_meter", "en") is None
    assert registry.id_of("sms.filed_meter", "en") == ID
    refused = registry.check(said("filed_meter", "hi", ticket="40000012"), "sms.filed_meter", "hi")
    assert refused
    assert "no template id" in refused
    assert "gateway templates import" in refused


def approval(key: str, lang: str) -> Approval:
    return Approval(key, lang, ID, REGISTRY.templates[key, lang].typed)


def test_the_registered_wording_counts() -> None:
    old = "SBPDCL: Meter complaint {#numeric#} noted. Help 1912"
    registry = Registry(VOICE.catalogues, approvals=[Approval("sms.filed_meter", "en", ID, old)])
    assert registry.stale == [("sms.filed_meter", "en")]
    refused = registry.check(METER, "sms.filed_meter", "en")
    assert refused
    assert "registered is ' noted. Help 1912'" in refused
    assert any("was changed since it was registered" in fault for fault in lint(VOICE, FLOWS, registry))


def test_the_older_form_is_understood() -> None:
    legacy = REGISTRY.templates["sms.filed_meter", "en"].legacy
    registry = Registry(VOICE.catalogues, approvals=[Approval("sms.filed_meter", "en", ID, legacy)])
    assert registry.stale == []
    assert registry.check(METER, "sms.filed_meter", "en") is None


def test_what_is_refused_is_put_aside(gateway: Gateway, clock: Clock) -> None:
    """What caused it is kept; the message is not sent, and says why."""
    text = Text("sms", "filed_meter", {"ticket": "4000x012"})
    with gateway.store.write():
        gateway.pen.write(text, town.PHONES["one"], now=clock(), lang="en")
    rows = gateway.store.database.rows("select state, note from outbox")
    assert rows == [("failed", "sms.filed_meter/en: {ticket} may hold digits only, not '4000x012'")]


@pytest.mark.parametrize(
    ("code", "fault"),
    [("600", "config"), ("618", "config"), ("631", "config"), ("633", "content"), ("635", "content"), ("637", "config"),
     ("650", "consumer"), ("669", "consumer"), ("670", "transient"), ("", "transient"), ("x", "transient"), ("²", "transient")],
)  # fmt: skip
def test_operators_codes(code: str, fault: str) -> None:
    assert fault_of(code) == fault


@pytest.mark.parametrize(
    ("reason", "note", "alarm", "muted"),
    [
        ("stat:UNDELIV err:630", "", True, False),
        ("stat:UNDELIV err:633", "the operator refused it with 633: it is as we have it registered", False, False),
        ("err:650", "the operator refused it with 650: the phone wants no such messages", False, True),
        ("stat:UNDELIV err:670", "", False, False),
        ("stat:UNDELIV err:027", "", False, False),
        ("", "", False, False),
    ],
)
def test_a_refusal_is_heeded(gateway: Gateway, clock: Clock, reason: str, note: str, alarm: bool, muted: bool) -> None:
    phone, queue = town.PHONES["one"], Queue(gateway.store)
    with gateway.store.write():
        gateway.pen.write(Text("sms", "filed_meter", {"ticket": "40000012"}), phone, now=clock(), lang="en")
        gateway.store.database.run("update outbox set state = 'sent', reference = 'r1'")
    carrier = next(iter(gateway.carriers))
    gateway.note(Report(carrier, "r1", "16", "failed", reason, phone))
    assert gateway.store.database.rows("select state, note from outbox") == [("failed", note)]
    assert [(one.kind, one.name) for one in queue.alarms()] == ([("template", "sms.filed_meter/en")] if alarm else [])
    assert gateway.store.recall(phone, clock().date()).muted == muted


# --- the sheet out and back -----------------------------------------------------------------------------------------------


@pytest.fixture
def set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return load(dlt_header="SBPDCL", dlt_templates=str(tmp_path / "ids" / "templates.csv"))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_export(set_up: Settings, tmp_path: Path) -> None:
    count = len(REGISTRY.templates)
    assert (
        export_sheet(set_up, tmp_path / "sheet.csv") == f"{tmp_path}/sheet.csv: {count} templates, {count} of them without an id"
    )
    rows = rows_of(tmp_path / "sheet.csv")
    assert tuple(rows[0]) == COLUMNS
    assert len({row["template_name"] for row in rows}) == len(rows) == count
    meter = next(row for row in rows if row["template_key"] == "sms.filed_meter" and row["language"] == "hi")
    assert meter["template_type"] == "UNICODE"
    assert "{#numeric#}" in meter["content_typed"]
    assert meter["content_legacy_var"] == meter["content_typed"].replace("{#numeric#}", "{#var#}")
    assert json.loads(meter["variables"]) == [{"name": "ticket", "tag": "numeric", "max": 30, "example": "88888888"}]
    assert "88888888" in meter["sample_text"]
    assert meter["headers"] == "SBPDCL"
    assert meter["cta_whitelist"] == "1912 56161"


def test_ids_come_back(set_up: Settings, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    export_sheet(set_up, sheet)
    rows = rows_of(sheet)
    for number, row in enumerate(rows[:5]):
        row["template_id"] = f"130716{number:013d}"
    with sheet.open("w", encoding="utf-8-sig", newline="") as file:  # as a spreadsheet in India saves it
        writer = csv.DictWriter(file, COLUMNS, delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    assert import_sheet(set_up, sheet) == [f"5 ids taken into {set_up.dlt_templates}; {len(rows) - 5} texts still without"]
    registry = open_registry(set_up, Voice(set_up.house()))
    assert sum(bool(template.id) for template in registry.templates.values()) == 5
    assert registry.stale == []
    for row in rows:  # a second sheet with other ids only adds
        row["template_id"] = "" if row["template_id"] else ID
    with sheet.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    assert import_sheet(set_up, sheet)[0].endswith("; 0 texts still without")


@pytest.mark.parametrize(
    ("sheet", "why"),
    [
        ("template_key,language\nsms.filed_meter,en\n", "no column template_id"),
        ("template_key,language,template_id,content_typed\nsms.filed_meter,en,1.30716E+18,x\n", "no template id of 19 digits"),
        (f"template_key,language,template_id,content_typed\nsms.nothing,en,{ID},x\n", "there are no such texts: sms.nothing/en"),
        (f"template_key,language,template_id,content_typed\nsms.filed_meter,en,{ID},\n", "the wording registered is missing"),
        (f"template_key,language,template_id,content_typed\n{f'sms.filed_meter,en,{ID},x' + chr(10)}{f'sms.filed_meter,en,{ID},x'}\n",
         "stands twice"),
        ("template_key," + "x" * 200_000 + "\n", "this is no such sheet: field larger"),
    ],
)  # fmt: skip
def test_a_bad_sheet_changes_nothing(set_up: Settings, tmp_path: Path, sheet: str, why: str) -> None:
    file = tmp_path / "sheet.csv"
    file.write_text(sheet, encoding="utf-8")
    with pytest.raises(ValueError, match=r"sheet\.csv: ") as raised:
        import_sheet(set_up, file)
    assert why in str(raised.value)
    assert not Path(set_up.dlt_templates).exists()


def test_a_header_is_six_letters() -> None:
    with pytest.raises(BadSetting, match="GATEWAY_DLT_HEADER: a header of service messages is six letters"):
        load(dlt_header="VM-SBPDCL-S")


def test_a_sheet_that_is_not_there(set_up: Settings, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.csv: there is no such file"):
        import_sheet(set_up, tmp_path / "none.csv")


def test_a_bad_file_of_ids_stops_the_start(set_up: Settings) -> None:
    kept = Path(set_up.dlt_templates)
    kept.parent.mkdir()
    kept.write_bytes("template_key,language,template_id,content_typed\nsms.filed_meter,hi,1,\u0915\n".encode("utf-16"))
    with pytest.raises(BadSetting, match=r"GATEWAY_DLT_TEMPLATES: .*not in UTF-8"):
        open_registry(set_up, Voice(set_up.house()))


# --- the lint -------------------------------------------------------------------------------------------------------------


def linted(monkeypatch: pytest.MonkeyPatch, change: Callable[[str, dict[str, Any]], None], **how: object) -> list[str]:
    """What the lint says of the catalogues after a change to their tables, and of a pushed text's rules."""
    folder = Path(catalogue.__file__).parent
    made = Voice(HOUSE)
    made.catalogues = dict(made.catalogues)
    for lang in made.catalogues:
        tables = tomllib.loads((folder / f"{lang}.toml").read_text(encoding="utf-8"))
        change(lang, tables)
        made.catalogues[lang] = catalogue.Catalogue(lang, HOUSE, tables)
    meta = {**dlt._meta(), "sms.welcome": dlt.Rules("sms.welcome", **how)}  # type: ignore[arg-type]
    monkeypatch.setattr(dlt, "_meta", lambda: meta)
    return lint(made, FLOWS, Registry(made.catalogues))


def put(key: str, text: str, only: str = "en") -> Callable[[str, dict[str, Any]], None]:
    def change(lang: str, tables: dict[str, Any]) -> None:
        if lang == only:
            flow, screen, name = key.split(".")
            tables[flow].setdefault(screen, {})[name] = text

    return change


@pytest.mark.parametrize(
    ("key", "text", "lang", "why"),
    [
        ("menu.busy.text", "It\u2019s busy", "en", "U+2019: use '"),
        ("menu.busy.text", "Fee ₹5", "en", "U+20B9: write Rs"),
        ("menu.busy.text", "Voilà ½", "en", "turns the text to Unicode: '½' U+00BD"),
        ("menu.busy.text", "Busy  now", "en", "a space too many"),
        ("menu.busy.text", "Busy ", "en", "a space too many"),
        ("menu.busy.text", "हिं\u200dदी", "hi", "U+200D: leave it out"),
        ("menu.busy.text", "\u2067busy", "en", "U+2067"),
        ("menu.busy.text", "सेवा १९१२", "hi", "Devanagari digits"),
        ("menu.busy.text", "व्यस्त प\u095d\u0947", "hi", "composed form"),
        ("menu.busy.text", "Dial <code>", "en", "'<' U+003C: write it in words"),
        ("menu.busy.text", "Enter *2", "en", "holds a *"),
        ("menu.busy.text", "Busy {wait:hours}", "en", "has the slots [('wait', 'hours')]"),
        ("menu.home.gas", "Gas", "en", "gas is no option of that screen"),
        ("menu.busy.text", "w" * 500, "en", "takes 4 USSD pages at its widest"),
        ("menu.house.text", "{why}", "en", "{why} has no type"),
    ],
)
def test_lint_names_it(monkeypatch: pytest.MonkeyPatch, key: str, text: str, lang: str, why: str) -> None:
    faults = linted(monkeypatch, put(key, text, lang))
    assert any(why in fault and fault.startswith(f"{lang}: ") for fault in faults), faults


def test_lint_names_missing_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(lang: str, tables: dict[str, Any]) -> None:
        if lang == "hi":
            del tables["menu"]["busy"], tables["word"]["done"], tables["option"]["yes"]

    faults = linted(monkeypatch, change)
    for why in ("[menu.busy] text is missing; hi-Latn has it", "[menu.busy] has no text", "[word] done is missing",
                "[meter.confirm] has no label for the option 'yes'"):  # fmt: skip
        assert any(why in fault for fault in faults), why


DUES = (
    "{company}: CA {account:tail}: Rs {dues:rupees} is due. Pay at a counter, CSC or Suvidha app only. "
    "Never share an OTP or PIN. Help {helpline}"
)


def pushed_text(monkeypatch: pytest.MonkeyPatch, text: str, **how: object) -> list[str]:
    def change(lang: str, tables: dict[str, Any]) -> None:
        tables["sms"]["welcome"]["text"] = text

    return linted(monkeypatch, change, **how)


def test_a_good_dues_text(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pushed_text(monkeypatch, DUES, dues=True) == []


@pytest.mark.parametrize(
    ("was", "now", "why"),
    [
        ("is due.", "is due by 9:30 pm.", "names an hour"),
        ("is due.", "will be cut tonight.", "names an hour ('tonight')"),
        ("is due.", "{left:hours} left.", "names an hour"),
        ("Help {helpline}", "Help officer Verma {helpline}", "names a person"),
        ("CA {account:tail}", "{name:name}", "names a person"),
        ("Help {helpline}", "Help 9876543210 {helpline}", "names a mobile number"),
        ("Help {helpline}", "https://pay.example {helpline}", "names a link"),
        ("Help {helpline}", "Help", "does not name {helpline}"),
        ("Pay at a counter, CSC or Suvidha app only. ", "", "does not say where to pay"),
        ("Never share an OTP or PIN. ", "", "OTP or PIN"),
    ],
)
def test_lint_of_dues_texts(monkeypatch: pytest.MonkeyPatch, was: str, now: str, why: str) -> None:
    faults = pushed_text(monkeypatch, DUES.replace(was, now), dues=True)
    assert any(why in fault for fault in faults), faults


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Bill Rs {amount:rupees} of CA {account:tail}", "does not name {company}"),
        ("{company}: CA {account:tail} bill Rs {amount:rupees} due {due:date}", "has 3 variables"),
        ("{company}: CA {account:tail} {amount:rupees}", "has only ' ' between {account} and {amount}"),
        ("{company}: CA {account:tail}, {amount:rupees}", "has only ', ' between"),
        ("{company}: CA {account:tail}{amount:rupees}", "touch"),
        ("{company}: dear {name:name}", "plain Latin letters"),
        ("{company}: your request: {state:word}", "plain Latin letters"),
    ],
)
def test_lint_of_registration(monkeypatch: pytest.MonkeyPatch, text: str, why: str) -> None:
    faults = pushed_text(monkeypatch, text)
    assert any(why in fault for fault in faults), faults


def test_a_recorded_reason_lets_a_third_variable_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "{company}: CA {account:tail} bill Rs {amount:rupees} to pay until {due:date}"
    assert pushed_text(monkeypatch, text, reason="the three values of a bill") == []


def test_india_wants_ids() -> None:
    faults = lint(VOICE, FLOWS, Registry(VOICE.catalogues, profile="india"))
    assert len([fault for fault in faults if "has no template id" in fault]) == len(REGISTRY.templates)


def test_dates_and_money_are_alphanumeric() -> None:
    for name, kind, value in (("due", "date", date(2026, 6, 5)), ("amount", "rupees", 124_050)):
        written = catalogue.TYPES[kind][0](value, "hi")
        assert dlt.Variable(name, "alphanumeric").fault(written) == ""
        assert dlt.Variable(name, "numeric").fault(written)
