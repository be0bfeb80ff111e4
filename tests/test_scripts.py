"""Whole conversations as they look on the phone, played through the real hop on a real store, over every carrier.

A script is read aloud: `> ` begins what somebody does, the lines under it are what phones show for it. After a change of
texts, `pytest tests/test_scripts.py --update` rewrites what is shown; read the difference before you commit it.

    > phone one            from here on this phone (a label of tests/town.py); `one hi` chooses its language too
    > dial *384*1912#      a new USSD session
    > 3                    an answer in it
    > text METER band      an SMS to the short code
    > again                the carrier delivers the last hop once more
    > lose                 our state of this phone is lost while its session lives on
    > wait 40 minutes
    > requests             what the database holds of this phone's requests
    > hangup               the session ends and the carrier says so; `> drop`: it ends and nobody says anything
    > missed               a missed call
    > bill 100000001 940   the billing system brings next month's bill of so many rupees (`average`, `free` behind it)
    > paid 100000001 940   ... a payment; `> balance 100000004 20` a prepaid balance; `> noted one 100000010` a linked phone
    > readings             what the database holds of meter readings
    > desk restore         somebody at the desk takes this step in the request filed last (`field=value` behind it)

After every step the chores are done, as they are every quarter of a second in the product.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from structlog.testing import capture_logs

from flows.records import Conversation
from gateway.app import Gateway
from gateway.carriers import Request
from gateway.desk import make_desk
from gateway.fields import kinds
from gateway.intake import apply
from gateway.records import Answer, Inbound, SessionEnd
from gateway.staff import Staff
from messages.encoding import clusters, measure, sms_parts
from tests import town
from tests.conftest import Clock

SCRIPTS = sorted(Path(__file__).with_name("scripts").glob("*.txt"))
CODE = "*384*1912#"
LABELS = {phone: label for label, phone in town.PHONES.items()}


#: Who brings what is dialled, for the carriers that have no USSD of their own.
DIALLED_BY = {"kannel": "last-input", "mobileseva": "last-input"}


class Player:
    """Plays one script and writes down what the phones show."""

    def __init__(self, gateway: Gateway, clock: Clock, carrier: str) -> None:
        self.gateway, self.clock, self.carrier = gateway, clock, carrier
        self.dialled_by = DIALLED_BY.get(carrier, carrier)
        self.hops = 0
        self.phone = ""
        self.sessions = 0
        self.session = ""
        self.text = ""
        self.last: Inbound | None = None
        self.read = 0
        self.texts = 0
        self.chores = gateway.chores()

    def play(self, script: str) -> str:
        """The script as it plays now."""
        lines: list[str] = []
        for line in script.splitlines():
            if line.startswith("> "):
                lines.append(line)
                lines += self.do(line[2:].strip())
            elif line.startswith("#") or not line.strip():
                lines.append(line)
        return "\n".join(lines) + "\n"

    def do(self, what: str) -> list[str]:
        verb, _, rest = what.partition(" ")
        match verb:
            case "phone":
                label, _, lang = rest.partition(" ")
                self.phone = town.PHONES[label]
                if lang:
                    with self.gateway.store.write():
                        self.gateway.store.keep_conversations([Conversation(self.phone, lang=lang)], self.clock())
                return []
            case "wait":
                count, unit = rest.split()
                self.clock.wait(timedelta(**{unit.rstrip("s") + "s": int(count)}))
                return self.messages()
            case "hangup":
                self.gateway.note(SessionEnd(self.carrier, self.session, self.phone, "Incomplete"))
                self.session = ""
                return self.messages()
            case "drop":
                self.session = ""
                return []
            case "bill" | "paid" | "balance" | "noted":
                self.billing_brings(verb, *rest.split())
                return self.messages()
            case "readings":
                return self.readings()
            case "desk":
                self.desk_takes(*rest.split())
                return self.messages()
            case "lose":
                with self.gateway.store.write():
                    self.gateway.store.database.run("delete from conversation where phone = ?", (self.phone,))
                return []
            case "requests":
                return self.requests()
            case "dial":
                self.sessions += 1
                self.session, self.text = f"ATUid_{self.sessions:032x}", rest.removeprefix(CODE[:-1]).strip("*#")
                return self.hop(self.ussd(rest))
            case "text":
                self.texts += 1
                return self.hop(self.sms(rest))
            case "missed":
                self.texts += 1
                return self.hop(self.call())
            case "again":
                assert self.last is not None
                return self.hop(self.last)
            case _:
                self.text = f"{self.text}*{what}" if self.text else what
                return self.hop(self.ussd(what, lost=True))

    def ussd(self, typed: str, *, lost: bool = False) -> Inbound:
        self.hops += 1
        if self.dialled_by == "last-input":
            fields = {"sessionId": self.session, "msisdn": self.phone[1:], "message": typed, "seq": self.hops,
                      "type": "continue" if lost else "begin"}  # fmt: skip
            return self.hear("last-input", "ussd", json.dumps(fields), media="application/json")
        if self.dialled_by == "africastalking":
            form = {
                "sessionId": self.session,
                "phoneNumber": self.phone,
                "networkCode": "99999",
                "serviceCode": CODE,
                "text": self.text,
            }
            return self.hear("africastalking", "ussd", urlencode(form), headers={"at-ussd-hop-metadata": "x"} if lost else {})
        return Inbound(
            f"{self.session}/{sha256(self.text.encode()).hexdigest()[:16]}",
            "phone",
            self.phone,
            "ussd",
            self.text,
            self.clock(),
            self.session,
            lost=lost,
        )

    def call(self) -> Inbound:
        id_ = f"call-{self.texts}"
        if self.carrier == "africastalking":
            form = {"isActive": "1", "sessionId": id_, "direction": "Inbound", "callerNumber": self.phone}
            return self.hear("africastalking", "missed", urlencode(form))
        return Inbound(id_, "phone", self.phone, "missed", "", self.clock())

    def billing_brings(self, what: str, whom: str, amount: str, *more: str) -> None:
        """As the API and the imports take it in."""
        today = self.clock().date()
        if what == "bill":
            month = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
            kind = "bills"
            row = [whom, f"{month}", f"INV{month:%m}{whom}", f"{today + timedelta(days=15)}", f"{today}", int(amount) * 100,
                   int(amount) * 100, 0, 0, 100, 180, 80, "LK" if "average" in more else "OK", int("free" in more)]  # fmt: skip
        elif what == "paid":
            kind, row = "payments", [whom, f"{today}", f"R{amount}", int(amount) * 100]
        elif what == "balance":
            kind, row = "consumers", [None] * len(kinds()["consumers"].columns)
            row[0], row[-2], row[-1] = whom, int(amount) * 100, f"{today}"
        else:
            kind, row = "phones", [town.PHONES[whom], amount, None, None, None]
        with self.gateway.store.write():
            apply(self.gateway.store, kinds()[kind], [row], self.gateway.billing().hooks, self.clock())

    def readings(self) -> list[str]:
        rows = self.gateway.store.database.rows(
            "select account, month, status, value, flag, staff, previous, handed from reading order by id"
        )
        return [
            f"  = {account} {month[:7]} {status} {value} after {previous}" + (f" flag {flag}" if flag else "")
            + (f" by {staff}" if staff else " by the consumer") + (" handed over" if handed else "")
            for account, month, status, value, flag, staff, previous, handed in rows
        ]  # fmt: skip

    def sms(self, words: str) -> Inbound:
        id_ = f"sms-{self.texts}"
        match self.carrier:
            case "africastalking":
                form = {"date": "2026-05-25 04:30:00", "from": self.phone, "to": "56161", "id": id_, "text": words}
                return self.hear("africastalking", "sms", urlencode(form))
            case "kannel":
                query = {"from": self.phone, "to": "56161", "id": id_, "at": "1779683400", "coding": "2", "charset": "UTF-16BE"}
                media = 'text/plain; charset="UTF-16BE"'
                return self.hear("kannel", "sms", words.encode("utf-16-be"), query=urlencode(query), media=media)
            case "mobileseva":
                stamp = f"2026-05-25 10:00:{self.texts:02}"
                query = f"mobileNumber={self.phone[1:]}&timeStamp={quote(stamp)}&operatorName=&areaCode=&message="
                return self.hear("mobileseva", "sms", "", query=query + quote(f"BR BIJLI {words}"))
        return Inbound(id_, "phone", self.phone, "sms", words, self.clock())

    def hear(
        self, carrier: str, door: str, body: str | bytes, *, query: str = "", headers: dict[str, str] | None = None,
        media: str = "application/x-www-form-urlencoded",
    ) -> Inbound:  # fmt: skip
        """As the webhook reads it off the wire."""
        at = self.gateway.carriers[carrier].doors[door]
        octets = body.encode() if isinstance(body, str) else body
        heard = at.hear(at.read(Request({"content-type": media}, query.encode(), octets)), headers or {})
        assert isinstance(heard, Inbound)
        return heard

    def hop(self, inbound: Inbound) -> list[str]:
        self.last = inbound
        self.clock.wait(timedelta(seconds=7))
        with capture_logs() as logs:
            answer = self.gateway.hop.serve([inbound])[0]
        assert not any(phone[3:] in str(entry) for entry in logs for phone in town.PHONES.values()), logs
        shown = []
        if inbound.channel == "ussd":
            self.check_page(answer)
            shown = [f"  | {line}".rstrip() for line in self.on_phone(answer, inbound).split("\n")] + (
                ["  (ends)"] if answer.ends else []
            )
        return shown + self.messages()

    def on_phone(self, answer: Answer, inbound: Inbound) -> str:
        """The page as the carrier would pass it on."""
        if self.dialled_by == "phone":
            return answer.page
        door = self.gateway.carriers[self.dialled_by].doors["ussd"]
        assert door.answer is not None
        body = door.answer(answer, inbound).decode()
        if self.dialled_by == "last-input":
            said = json.loads(body)
            assert said["type"] == ("end" if answer.ends else "continue")
            assert said["sessionId"] == self.session
            return str(said["message"])
        kind, _, page = body.partition(" ")
        assert kind == ("END" if answer.ends else "CON")
        return page

    def messages(self) -> list[str]:
        """What the outbox took since last time, as the phones will show it."""
        while self.chores.round():
            pass
        rows = self.gateway.store.database.rows(
            "select id, phone, text, encoding, parts, template from outbox where id > ? order by id", (self.read,)
        )
        shown = []
        for id_, phone, text, encoding, parts, template in rows:
            self.read = id_
            assert measure(text).encoding == encoding
            assert sms_parts(text) == parts <= 3, text
            assert re.fullmatch(r"\w+\.\w+/(hi|hi-Latn|en)", template)
            self.check_text(text)
            to = "" if phone == self.phone else f" to {LABELS[phone]}"
            first, *more = text.split("\n")
            shown += [f"  sms{to}| {first}".rstrip(), *(f"     | {line}".rstrip() for line in more)]
        return shown

    def check_page(self, answer: Answer) -> None:
        size = measure(answer.page)
        limits = self.gateway.carriers[self.dialled_by].limits("ussd")
        assert size.units <= (limits.septets if size.encoding == "gsm7" else limits.units) - limits.overhead, answer.page
        self.check_text(answer.page)

    def check_text(self, text: str) -> None:
        assert text.strip()
        assert "{" not in text
        assert not re.match(r"[\u093a-\u094f\u0900-\u0903]", clusters(text)[0]), f"begins inside a letter: {text!r}"

    def desk_takes(self, step: str, *typed: str) -> None:
        sql = "select ticket, state from request order by filed desc, ticket desc limit 1"
        ((ticket, state),) = self.gateway.store.database.rows(sql)
        entered = dict(one.split("=", 1) for one in typed)
        make_desk(self.gateway, lambda: None).casework.take(Staff("birju", "supervisor", ("*",)), ticket, step, state, entered)

    def requests(self) -> list[str]:
        rows = self.gateway.store.database.rows(
            "select ticket, service, state, account, asset, priority, unverified, reports, details from request where phone = ? order by filed",
            (self.phone,),
        )
        return [
            f"  = {ticket} {service} {state}" + (f" CA {account}" if account else "") + (f" {asset}" if asset else "")
            + (" priority" if priority else "") + (" unverified" if unverified else "") + f" reports {reports} {details}"
            for ticket, service, state, account, asset, priority, unverified, reports, details in rows
        ]  # fmt: skip


def plays() -> Iterator[Any]:
    """Every script over every carrier; over Mobile Seva those with an SMS in them, since its dialled ones are the same."""
    for script in SCRIPTS:
        written = script.read_text(encoding="utf-8")
        last_input = script.stem.endswith("last_input")
        for carrier, database in (("phone", "sqlite"), ("africastalking", "sqlite"), ("africastalking", "postgres"),
                                  ("kannel", "sqlite"), ("mobileseva", "sqlite")):  # fmt: skip
            if "> lose" in written and last_input != (carrier in DIALLED_BY):
                continue  # what a lost state comes to depends on what a hop brings: there is a script for each kind
            if carrier != "mobileseva" or "> text" in written:
                yield pytest.param(script, carrier, database, id=f"{script.stem}-{carrier}-{database}")


@pytest.mark.parametrize(("script", "carrier", "database"), [*plays()], indirect=["database"])
def test_script(script: Path, carrier: str, gateway: Gateway, clock: Clock, request: pytest.FixtureRequest) -> None:
    written = script.read_text(encoding="utf-8")
    played = Player(gateway, clock, carrier).play(written)
    if request.config.getoption("--update"):
        script.write_text(played, encoding="utf-8")
    else:
        assert played == written
