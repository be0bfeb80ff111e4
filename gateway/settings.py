"""Every setting in one typed place: read from the environment (GATEWAY_...) or a .env file, checked once at the start.

Numbers of law, tariff and telecom rule carry their source in the description, which docs/sources.md resolves; `gateway settings`
prints them all with where each came from.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Mapping
from datetime import date, time, timedelta
from string import Template
from typing import Annotated, Any, Literal, get_origin
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from flows.casework import CASES
from flows.records import Area, LimitChange, Policy
from gateway.throttle import Sending

PREFIX = "GATEWAY_"
#: Numbers and where they end: a slip of the finger is refused at the start, and does not erase everything or wait for ever.
Number = Annotated[int, Field(ge=0, le=1_000_000_000)]
Many = Annotated[int, Field(ge=1, le=1_000_000_000)]
Days = Annotated[int, Field(ge=0, le=36_500)]
Kept = Annotated[int, Field(ge=1, le=36_500)]
Hours = Annotated[int, Field(ge=0, le=876_000)]
Minutes = Annotated[int, Field(ge=0, le=1_000_000)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Rate = Annotated[float, Field(ge=0.001, le=1_000_000)]
Port = Annotated[int, Field(ge=1, le=65_535)]
#: A time limit as `limit_changes` writes it.
LIMIT_CHANGE = re.compile(
    r"(?P<service>\w+) (?P<area>urban|rural|all) (?P<count>\d{1,4}) (?P<unit>hours|days) from (?P<since>\d{4}-\d\d-\d\d)(?:,.*)?"
)
#: At least 128 bits, as 32 hexadecimal digits or 22 characters of URL-safe base 64.
SECRET = re.compile(r"[A-Za-z0-9_-]{22,128}")
#: Names that a USSD platform may not take: other carriers', lanes' and channels'.
OTHER_CARRIERS = ("phone", "africastalking", "kannel", "mobileseva", "live", "notice", "bulk", "ussd", "sms", "missed")
#: What may stand in Kannel's configuration without quoting.
KANNEL = re.compile(r"[!#-~]*")


#: The demo's phones: no Indian mobile begins with 5.
DEMO_MOBILE = r"555\d{7}"


class UssdPlatform(BaseModel):
    """How one operator's USSD platform speaks to us: names of its fields, its words, and the answer it wants."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reads: Literal["form", "json", "query"] = Field("form", description="how its fields come: a form, JSON, or a GET's query")
    session: str = Field("sessionId", description="field of the session's id")
    phone: str = Field("msisdn", description="field of the phone")
    text: str = Field("message", description="field of what was typed; at the begin the dialled code or nothing")
    type: str = Field("type", description="field of the message's type; empty: a text that is empty or begins with * begins")
    begin: tuple[str, ...] = Field(("begin",), description="types that begin a session")
    end: tuple[str, ...] = Field(("end",), description="types that only tell that it is over")
    sequence: str = Field("", description="field that numbers the messages of a session or is the platform's id of each")
    code: str = Field("", description="the code people dial on this platform; empty: GATEWAY_USSD_CODE")
    answer: str = Field("$page", description="the answer's body; $page, $kind, $session and $phone are filled in")
    goes_on: str = Field("continue", description="$kind of an answer that asks")
    ends: str = Field("end", description="$kind of the last one")
    media: str = Field("text/plain; charset=utf-8", description="content type of the answer; it decides how $page is escaped")
    septets: Annotated[int, Field(ge=100, le=182)] = Field(150, description="septets of a page (NIC 2014: 150)")
    units: Annotated[int, Field(ge=45, le=80)] = Field(60, description="UCS-2 units of a page (NIC 2014: 45 to 60)")
    devanagari: bool = Field(True, description="whether it shows Devanagari; if not, romanised Hindi is said")

    @field_validator("answer")
    @classmethod
    def _answer(cls, answer: str) -> str:
        template = Template(answer)
        if not template.is_valid() or not {"page"} <= {*template.get_identifiers()} <= {"page", "kind", "session", "phone"}:
            raise ValueError("answer: $page must stand in it, and $kind, $session and $phone may")
        return answer


class Settings(BaseSettings):
    """What a company sets. Hours and days are plain numbers, money whole rupees, loads kilowatts."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=".env", extra="ignore", frozen=True)

    # --- the product
    database: str = Field(
        "sqlite:///var/gateway.db",
        description="where everything is kept: sqlite:///path/to/file.db or postgresql://user@host/name",
    )
    writers: Annotated[int, Field(ge=1, le=16)] = Field(
        2, description="threads of a web process that serve hops, on PostgreSQL; a file has one writer (docs/scale.md)"
    )
    disk_low_mb: Number = Field(
        1000, description="megabytes free on the disk below which an alarm is raised; 0: the disk is not looked at [proposal]"
    )
    disk_reserve_mb: Many = Field(
        16, description="megabytes kept in a file beside the database and given up when the disk is full [proposal]"
    )
    host: str = Field("127.0.0.1", description="address the web server listens on")
    port: Port = Field(8000, description="port the web server listens on")
    demo: bool = Field(False, description="a demo town and the phone page; only on loopback")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="how much is logged")

    # --- the company, as people read it
    company: str = Field("SBPDCL", description="brand in every SMS (DLT asks for it: telecom-india.md section 2)")
    helpline: str = Field("1912", description="toll-free number (utility.md section 1, S2)")
    shortcode: str = Field("56161", description="number people text, printed in SMS texts")
    missed_number: str = Field("56162", description="number for missed calls, answered with the bill by SMS (utility.md 1, S10)")
    ussd_code: str = Field("*384*1912#", description="USSD code people dial")
    centre: str = Field("URJAS Kendra", description="the centre for people without a phone, as texts name it")

    # --- Africa's Talking
    at_username: str = Field("", description="Africa's Talking user name; `sandbox` in the sandbox; empty: not used")
    at_api_key: SecretStr = Field(SecretStr(""), description="Africa's Talking API key")
    at_sender: str = Field("", description="sender of SMS; empty: the account's default")
    at_fetch_minutes: Minutes = Field(
        5, description="minutes after which messages the webhook may have missed are fetched; 0: never (africastalking.md 7)"
    )
    at_base_url: str = Field("", description="another API address, such as an emulator's")
    webhook_secrets: dict[str, tuple[SecretStr, ...]] = Field(
        {},
        description="secrets in the webhook path, 128 bits each, for each carrier one, and two while it is changed: "
        '{"kannel": ["..."], "africastalking": ["..."]}; a plain list, or the name *, is for those not named',
    )
    webhook_networks: tuple[str, ...] = Field((), description="CIDR list that webhooks are taken from; empty: any")
    send_timeout: Seconds = Field(
        65, description="seconds to wait for a carrier's answer: longer than the carrier's own (limits.md section 5)"
    )
    senders: Annotated[int, Field(ge=1, le=64)] = Field(8, description="independent sending threads (limits.md section 5)")

    # --- Kannel: an operator's SMSC over SMPP (docs/carriers.md)
    kannel_url: str = Field(
        "", description="address of Kannel's smsbox, on this machine such as http://127.0.0.1:13013; empty: not used"
    )
    kannel_password: SecretStr = Field(SecretStr(""), description="our password at smsbox (its user is `gateway`)")
    kannel_admin_password: SecretStr = Field(SecretStr(""), description="password of bearerbox's status page")
    kannel_port: Annotated[int, Field(ge=1024, le=65533)] = Field(
        13000, description="Kannel's own ports: this one, the next, and the one after it for a fake SMSC"
    )
    kannel_calls: str = Field("", description="this gateway as Kannel reaches it; empty: http://host:port of these settings")
    kannel_smsc_host: str = Field("", description="the operator's SMSC; empty: a fake one, to try with")
    kannel_smsc_port: Port = Field(2775, description="its SMPP port")
    kannel_smsc_username: str = Field("", description="system id the operator gave")
    kannel_smsc_password: SecretStr = Field(SecretStr(""), description="password the operator gave")
    kannel_smsc_type: str = Field("", description="system type the operator gave")
    kannel_tag_entity: str = Field("0x1400", description="SMPP tag of the DLT entity id [unverified: ask the operator]")
    kannel_tag_template: str = Field("0x1401", description="SMPP tag of the DLT template id [unverified: ask the operator]")
    dlt_entity: Annotated[str, Field(pattern=r"^([0-9]{19})?$")] = Field(
        "", description="the company's DLT principal entity id, 19 digits (telecom-india.md section 2, S33)"
    )

    worker_metrics_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        0, description="port of the worker's own /metrics, at GATEWAY_HOST; 0: none (the web server has its own)"
    )

    # --- Mobile Seva: the government's SMS gateway; [unverified] is from memory or second hand (telecom-india.md section 6)
    mobileseva_username: str = Field("", description="user name at Mobile Seva; empty: not used")
    mobileseva_password: SecretStr = Field(SecretStr(""), description="its password")
    mobileseva_key: SecretStr = Field(SecretStr(""), description="its secure key")
    mobileseva_url: str = Field(
        "", description="address of push, ending in /esms/sendsmsrequestDLT (S33); empty: it only brings messages"
    )
    mobileseva_prefixes: tuple[str, ...] = Field(
        (), description="words that people put first, in this order, such as the state's and the service's (S32)"
    )
    mobileseva_password_hash: Literal["sha1", "md5"] = Field("sha1", description="how the password is hashed [unverified]")
    mobileseva_entities: bool = Field(True, description="Hindi as &#2348; in content and key [unverified]")
    mobileseva_entity_field: str = Field("entityid", description="field of the DLT entity id; empty: none [unverified]")
    mobileseva_accepted: tuple[str, ...] = Field(("402",), description="answer codes that mean taken [unverified]")
    mobileseva_says: str = Field("", description="what its pull service wants to be answered [unverified]")

    # --- USSD platforms of Indian operators, which send the last input only
    ussd_platforms: dict[str, UssdPlatform] = Field(
        {}, description="by the name we give it, how each speaks: JSON, explained in docs/carriers.md"
    )

    # --- the rules of sending
    routes: tuple[str, ...] = Field(
        (), description='which carrier sends what, first fit first: ["bulk: mobileseva kannel", "*: kannel"] (gateway/routing.py)'
    )
    sends_per_second: Rate = Field(
        50, description="messages a second to a carrier from all workers; no limit is published (africastalking.md 7) [proposal]"
    )
    rates: dict[str, Rate] = Field({}, description='another number a second for a carrier, as {"kannel": 20} [proposal]')
    report_wait_seconds: Annotated[int, Field(ge=0, le=86_400)] = Field(
        120, description="seconds a delivery report is awaited before what may have gone is sent again [proposal]"
    )
    quiet_from: time = Field(
        time(21), description="from then, India's time, nothing leaves that nobody asked for (telecom-india.md section 2, S54)"
    )
    quiet_until: time = Field(time(8), description="until then (telecom-india.md section 2) [proposal]")
    bulk_per_feeder_minute: Rate = Field(
        60, description="bills and reminders a minute behind one feeder, so that not all call at once [proposal]"
    )
    equal_most: Many = Field(5, description="equal texts to one phone, after which more are held for a person to see [proposal]")
    equal_minutes: Minutes = Field(30, description="minutes in which equal texts are counted [proposal]")
    template_a_day: Many = Field(30, description="messages of one template to one phone in 24 hours, then held [proposal]")
    parts_an_hour: Many = Field(
        60_000, description="SMS parts an hour, then bulk waits; a month's bills are 45,000 (telecom-india.md 4) [proposal]"
    )
    parts_a_day: Many = Field(150_000, description="the same for 24 hours [proposal]")

    # --- what fits on a phone
    ussd_septets: Annotated[int, Field(ge=100, le=182)] = Field(
        160, description="GSM-7 septets of a USSD page (182 by 3GPP 23.038; Safaricom 160)"
    )
    ussd_units: Annotated[int, Field(ge=45, le=80)] = Field(
        80, description="UCS-2 units of a USSD page (80 by 3GPP; NIC 2014: 45 to 60)"
    )
    ussd_devanagari: bool = Field(True, description="whether USSD shows Devanagari; if not, romanised Hindi is said")

    # --- India's SMS rules (TCCCPR 2018, DLT: telecom-india.md section 2)
    dlt_profile: Literal["sandbox", "india"] = Field(
        "sandbox", description="`india` refuses a pushed SMS that has no registered template id; `sandbox` sends without"
    )
    dlt_header: str = Field("", description="registered header of service messages, six letters (S50)")
    dlt_templates: str = Field(
        "dlt_templates.csv", description="file with the template ids that `gateway templates import` took in"
    )

    # --- rules of the company
    ca_pattern: str = Field(r"\d{9,11}", description="shape of a CA number (utility.md section 2, S8 S9)")
    bill_to_unlinked: Literal["none", "amount_only", "full"] = Field(
        "amount_only", description="what a phone that is not linked sees of a bill (utility.md 7.6)"
    )
    guesses_a_day: Many = Field(5, description="wrong account numbers or second facts a phone may try in a day [proposal]")
    objection_hours: Hours = Field(24, description="hours in which GALAT cancels a disconnection (utility.md 7.4) [proposal]")
    patience_days: Days = Field(
        30,
        description="days of waiting for the person's answer, papers or fee after which the desk may close a request as expired "
        "(the company's form names a period, not its length: the company orders it) [proposal]",
    )
    link_objection_days: Days = Field(7, description="days in which GALAT undoes a new link [proposal]")
    desk_idle_minutes: Annotated[int, Field(ge=1, le=1_440)] = Field(
        30, description="minutes without a click after which a login at the desk ends (ASVS 5.0, 7.3.1)"
    )
    desk_session_hours: Annotated[int, Field(ge=1, le=720)] = Field(
        12, description="hours after which a login at the desk ends in any case (ASVS 5.0, 7.3.2)"
    )
    desk_second_factor: bool = Field(
        False, description="whether everybody at the desk must have set up a code from an app before going on (ASVS 5.0, 6.3.3)"
    )
    part_paise: Number = Field(15, description="price of one SMS part in paise, for the figures at the desk only [proposal]")
    reopen_days: Days = Field(7, description="days in which NAHI opens a finished request again [proposal]")
    answer_seconds: Seconds = Field(
        7, description="seconds after which a USSD hop is answered `try again`; the carrier waits 10 (africastalking.md 1)"
    )
    hops_a_minute: Many = Field(120, description="USSD hops of one phone in a minute, then `try again` [proposal]")
    loop_minutes: Minutes = Field(10, description="minutes in which SMS of one phone are counted, to notice a machine [proposal]")
    loop_most: Many = Field(
        60, description="SMS of one phone in that time, after which none is answered; five services are some 30 [proposal]"
    )
    loop_equal: Many = Field(5, description="the same, for SMS with equal words, answers like 1 and HAAN not counted [proposal]")
    resume_minutes: Minutes = Field(30, description="minutes in which a dropped conversation is offered again [proposal]")
    idle_hours: Hours = Field(12, description="hours after which an open question is forgotten [proposal]")
    priority_load_kw: Number = Field(
        5, description="larger loads first: kW from which a request is in the priority queue (utility.md 7.1, S1)"
    )
    phone_from_load_kw: Number = Field(
        0, description="kW from which a new connection is opened by phone; below it a call back (S1)"
    )
    phone_from_date: date = Field(date(2017, 3, 10), description="day from which new connections are opened by phone (S1)")
    free_units: Number = Field(125, description="free units a month, since 2025-08-01 (utility.md section 4, S13)")
    test_fee_single: Number = Field(100, description="meter test fee in rupees, single phase, 2018 (utility.md section 6, S21)")
    test_fee_three: Number = Field(200, description="meter test fee in rupees, three phase, 2018 (utility.md section 6, S21)")
    new_connection_days_urban: Days = Field(7, description="time limit, from 2024-02-22 (S16)")
    new_connection_days_rural: Days = Field(15, description="time limit, from 2024-02-22 (S16)")
    name_transfer_days: Days = Field(7, description="time limit, unverified for Bihar (utility.md section 6)")
    meter_hours_urban: Hours = Field(24, description="time limit, 2021 (S17)")
    meter_hours_rural: Hours = Field(72, description="time limit, 2021 (S17)")
    meter_test_days: Days = Field(15, description="time limit of an accuracy test (S21, S22)")
    disconnection_days: Days = Field(30, description="time limit, UP rule (S23)")
    transformer_hours_urban: Hours = Field(24, description="time limit, 2021 (S17)")
    transformer_hours_rural: Hours = Field(72, description="time limit, 2021 (S17)")
    reading_days: Days = Field(7, description="time limit for a reading complaint [proposal]")
    call_back_days: Days = Field(2, description="time limit for a call back [proposal]")

    limit_changes: tuple[str, ...] = Field(
        (),
        description="time limits in force from a day on, as JSON with the source behind the comma: "
        '["new_connection urban 5 days from 2027-04-01, order no. ..."]; the area may be `all`, the unit hours or days',
    )

    # --- bills, readings and reminders
    api_clients: dict[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = Field(
        {}, description="clients of the JSON API and the SHA-256 of their keys: gateway api-key"
    )
    billing_url: str = Field("", description="where readings are posted to; empty: they wait for `gateway export readings`")
    billing_secret: SecretStr = Field(SecretStr(""), description="key of the readings' X-Signature (HMAC-SHA256)")
    answer_days: Days = Field(30, description="days in which a bill SMS may be answered [proposal]")
    confirm_days: Days = Field(7, description="days without GALAT after which a phone noted by a reader hears amounts [proposal]")
    low_balance_percent: tuple[Annotated[int, Field(ge=0, le=100)], ...] = Field(
        (30, 10, 0), description="percent of the last recharge at which a prepaid balance is told (utility.md section 4, S84)"
    )
    session_seconds: Annotated[int, Field(ge=1, le=86_400)] = Field(
        180, description="after so long without a word a USSD session is over (telecom-india.md 4)"
    )
    own_reading_from: Annotated[int, Field(ge=1, le=31)] = Field(
        25, description="first day of the month for own readings [proposal]"
    )
    own_reading_to: Annotated[int, Field(ge=1, le=31)] = Field(31, description="day of the month until which [proposal]")
    usual_times: Many = Field(3, description="a reading is far above the usual from so many times the last units [proposal]")
    usual_least: Number = Field(200, description="units that are never far above the usual [proposal]")
    mobile_pattern: str = Field(r"[6-9]\d{9}", description="shape of a mobile number (telecom-india.md section 4, S62)")
    notice_clear_days: Annotated[int, Field(ge=15, le=365)] = Field(
        15, description="clear days between a notice and the day it names (Electricity Act 2003 s.56; utility.md section 6)"
    )
    due_soon_days: Days = Field(3, description="days before the due day from which a reminder goes out [proposal]")
    bulk_ahead: Many = Field(500, description="reminders put into the outbox ahead of sending: what waits behind can be cleared")

    # --- how long data is kept (telecom-india.md section 7; DPDP Rules 2025 rule 6: logs at least a year)
    keep_ussd_days: Kept = Field(30, description="USSD answers (telecom-india.md section 7)")
    keep_text_days: Kept = Field(90, description="texts in and out and their phones (telecom-india.md section 7)")
    keep_log_days: Annotated[int, Field(ge=365, le=36_500)] = Field(
        365, description="what was sent when, without text and phone; accesses (DPDP Rules 2025 rule 6)"
    )
    keep_request_days: Kept = Field(1095, description="requests after their end (telecom-india.md section 7)")
    keep_reading_days: Kept = Field(1095, description="meter readings: they prove bills [proposal]")
    keep_draft_days: Kept = Field(7, description="answers of an unfinished conversation (telecom-india.md section 7)")
    pseudonym_key: SecretStr = Field(
        SecretStr(""), description="key under which phones in old logs stay comparable; empty: they are blanked"
    )

    @field_validator("limit_changes")
    @classmethod
    def _changes(cls, changes: tuple[str, ...]) -> tuple[str, ...]:
        for change in changes:
            _limit_changes(change)
        return changes

    @field_validator("webhook_secrets", mode="before")
    @classmethod
    def _secrets_of_all(cls, secrets: Any) -> Any:
        return {"*": secrets} if isinstance(secrets, list | tuple) else secrets

    @field_validator("webhook_secrets")
    @classmethod
    def _secrets(cls, secrets: dict[str, tuple[SecretStr, ...]]) -> dict[str, tuple[SecretStr, ...]]:
        every = [secret.get_secret_value() for of_one in secrets.values() for secret in of_one]
        if any(len(of_one) > 2 for of_one in secrets.values()):
            raise ValueError("at most two secrets of a carrier are valid at once")
        if not all(map(SECRET.fullmatch, every)):
            raise ValueError(
                "a secret needs at least 128 bits: make one with `python -c 'import secrets; print(secrets.token_hex(16))'`"
            )
        if len(every) > len({*every}):
            raise ValueError("two carriers have one secret: whoever has it could speak for both")
        return secrets

    @field_validator("webhook_networks")
    @classmethod
    def _networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            ipaddress.ip_network(network)
        return networks

    @field_validator("*")
    @classmethod
    def _for_kannel(cls, value: Any, info: ValidationInfo) -> Any:
        plain = value.get_secret_value() if isinstance(value, SecretStr) else value
        if (info.field_name or "").startswith("kannel_") and isinstance(plain, str) and not KANNEL.fullmatch(plain):
            raise ValueError("spaces, quotes and letters other than ASCII do not go into Kannel's configuration")
        return value

    @field_validator("ussd_platforms")
    @classmethod
    def _platforms(cls, platforms: dict[str, UssdPlatform]) -> dict[str, UssdPlatform]:
        for name in platforms:
            if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name) or name in OTHER_CARRIERS:
                raise ValueError(f"{name} is no name for a platform: small letters, and none of {', '.join(OTHER_CARRIERS)}")
        return platforms

    @field_validator("dlt_header")
    @classmethod
    def _header(cls, header: str) -> str:
        if not re.fullmatch(r"(?:[A-Za-z]{6})?", header):
            raise ValueError("a header of service messages is six letters, without what the operator adds before and behind")
        return header

    @field_validator("ca_pattern", "mobile_pattern")
    @classmethod
    def _pattern(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        if not _lengths(pattern):
            raise ValueError(f"{pattern!r} fits no number of 1 to 20 digits")
        return pattern

    @model_validator(mode="after")
    def _registered(self) -> Settings:
        if self.dlt_profile == "india" and not (self.dlt_header and self.dlt_entity):
            raise ValueError("dlt_profile: `india` needs GATEWAY_DLT_HEADER and GATEWAY_DLT_ENTITY: nothing is delivered without")
        return self

    @model_validator(mode="after")
    def _open_door(self) -> Settings:
        used = {"africastalking": self.at_username, "kannel": self.kannel_url, "mobileseva": self.mobileseva_username}
        carriers = [*filter(used.get, used), *self.ussd_platforms]
        if unlocked := [name for name in carriers if not self.secrets_of(name)]:
            example = f'GATEWAY_WEBHOOK_SECRETS=\'{{"{unlocked[0]}": ["..."]}}\''
            raise ValueError(f"webhook_secrets: an open webhook of {unlocked[0]} is refused; set {example} with 128 bits")
        if strange := [name for name in self.webhook_secrets if name not in ("*", *used, *self.ussd_platforms)]:
            raise ValueError(f"webhook_secrets: {strange[0]} is no carrier; there are {', '.join((*used, *self.ussd_platforms))}")
        if strange := [name for name in self.rates if name not in ("phone", *used, *self.ussd_platforms)]:
            raise ValueError(f"rates: {strange[0]} is no carrier; there are {', '.join((*used, *self.ussd_platforms))}")
        if self.demo and not _is_loopback(self.host):
            raise ValueError(
                "demo: the phone page has no lock and stays on loopback; set GATEWAY_HOST=127.0.0.1 or GATEWAY_DEMO=false"
            )
        return self

    def secrets_of(self, carrier: str) -> tuple[str, ...]:
        """The secrets that open a carrier's doors."""
        secrets = self.webhook_secrets.get(carrier, self.webhook_secrets.get("*", ()))
        return tuple(secret.get_secret_value() for secret in secrets)

    @property
    def own_kannel(self) -> bool:
        """Whether Kannel runs on this machine, so that a worker can be one of its boxes."""
        return bool(self.kannel_url) and _is_loopback(urlsplit(self.kannel_url).hostname or "")

    def policy(self) -> Policy:
        """The rules as the flows read them."""
        hours, days = _hours, _days
        limits: dict[tuple[str, Area], timedelta] = {
            ("new_connection", "urban"): days(self.new_connection_days_urban),
            ("new_connection", "rural"): days(self.new_connection_days_rural),
            ("meter", "urban"): hours(self.meter_hours_urban),
            ("meter", "rural"): hours(self.meter_hours_rural),
            ("transformer", "urban"): hours(self.transformer_hours_urban),
            ("transformer", "rural"): hours(self.transformer_hours_rural),
        }
        same = {"name_transfer": self.name_transfer_days, "meter_test": self.meter_test_days, "reading": self.reading_days,
                "disconnection": self.disconnection_days, "call_back": self.call_back_days}  # fmt: skip
        areas: tuple[Area, Area] = ("urban", "rural")
        limits.update({(service, area): days(count) for service, count in same.items() for area in areas})
        return Policy(
            limits=limits,
            priority_load=self.priority_load_kw * 1000,
            phone_from_load=self.phone_from_load_kw * 1000,
            phone_from_date=self.phone_from_date,
            test_fee={1: self.test_fee_single * 100, 3: self.test_fee_three * 100},
            objection=hours(self.objection_hours),
            link_objection=days(self.link_objection_days),
            patience=days(self.patience_days),
            resume=timedelta(minutes=self.resume_minutes),
            idle=hours(self.idle_hours),
            guesses_a_day=self.guesses_a_day,
            bill_to_unlinked=self.bill_to_unlinked,
            free_units=self.free_units,
            usual_times=self.usual_times,
            usual_least=self.usual_least,
            own_reading=(self.own_reading_from, self.own_reading_to),
            mobile=rf"{self.mobile_pattern}|{DEMO_MOBILE}" if self.demo else self.mobile_pattern,
            answer_life=days(self.answer_days),
            keep_texts=days(self.keep_text_days),
            changes=tuple(one for change in self.limit_changes for one in _limit_changes(change)),
        )

    def sending(self, carrier: str = "") -> Sending:
        """The rules as the worker of a carrier reads them."""
        return Sending(
            per_second=self.rates.get(carrier, self.sends_per_second),
            lease=timedelta(seconds=self.send_timeout + 15),
            report_wait=timedelta(seconds=self.report_wait_seconds),
            quiet_from=self.quiet_from,
            quiet_until=self.quiet_until,
            feeder_gap=timedelta(minutes=1) / self.bulk_per_feeder_minute,
            equal_most=self.equal_most,
            equal_within=timedelta(minutes=self.equal_minutes),
            template_a_day=self.template_a_day,
            parts_an_hour=self.parts_an_hour,
            parts_a_day=self.parts_a_day,
        )

    def house(self) -> Mapping[str, str]:
        """The constants that texts name."""
        return {"company": self.company, "helpline": self.helpline, "shortcode": self.shortcode, "code": self.ussd_code,
                "centre": self.centre, "objection": str(self.objection_hours), "ca_digits": self._ca_digits()}  # fmt: skip

    def _ca_digits(self) -> str:
        """How many digits a CA number has, as it is said: 9-11."""
        lengths = _lengths(self.ca_pattern)
        return f"{lengths[0]}-{lengths[-1]}" if len(lengths) > 1 else str(lengths[0])


def _limit_changes(change: str) -> tuple[LimitChange, ...]:
    """A time limit from a day on, one an area. Raises ValueError that says how to write it."""
    found = LIMIT_CHANGE.fullmatch(change)
    if not found or found["service"] not in CASES:
        known = ", ".join(CASES)
        raise ValueError(f"{change!r}: write `service urban|rural|all N hours|days from YYYY-MM-DD`, a service being {known}")
    areas: tuple[Area, ...] = ("urban", "rural")
    limit = timedelta(**{found["unit"]: int(found["count"])})
    since = date.fromisoformat(found["since"])
    return tuple(LimitChange(found["service"], area, limit, since) for area in areas if found["area"] in (area, "all"))


def _lengths(pattern: str) -> list[int]:
    """How many digits a number of this shape may have."""
    return [count for count in range(1, 21) if any(re.fullmatch(pattern, digit * count) for digit in "0123456789")]


def _hours(count: int) -> timedelta:
    return timedelta(hours=count)


def _days(count: int) -> timedelta:
    return timedelta(days=count)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class BadSetting(Exception):
    """A setting that cannot be used: one line that names it and how to mend it."""


def load(**overrides: Any) -> Settings:
    """The settings, or BadSetting with one line."""
    file = overrides.get("_env_file", Settings.model_config["env_file"])
    for name in (*os.environ, *(dotenv_values(file) if file else ())):
        _known(name.upper())
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name, *within = map(str, first["loc"] or ("",))
        why = ": ".join((*within, str(first["msg"]).removeprefix("Value error, ")))
        raise BadSetting(f"GATEWAY_{name.upper()}: {why}" if name else why) from None
    except SettingsError as error:  # a list or a mapping that is not JSON
        found = re.search(r'field "(\w+)"', str(error))
        if not found:
            raise BadSetting(str(error)) from None
        is_mapping = get_origin(Settings.model_fields[found[1]].annotation) is dict
        example = '{"name": ...}' if is_mapping else '["...", "..."]'
        raise BadSetting(f"GATEWAY_{found[1].upper()}: this is not JSON: write it like {example}") from None


def _known(name: str) -> None:
    """Raises BadSetting for the name of a setting that there is not: misspelt, it would be passed over without a word."""
    known = [field.upper() for field in Settings.model_fields]
    prefix, given = name[: len(PREFIX)], name[len(PREFIX) :]
    if prefix != PREFIX or given in known or given.startswith("TESTS_"):
        return
    near = difflib.get_close_matches(given, known, 1)
    raise BadSetting(
        f"{name}: there is no such setting; " + (f"is it {PREFIX}{near[0]}?" if near else "`gateway settings` names all")
    )
