"""The meter reader's round: the next account or any of the section, status, reading, the consumer's mobile number."""

from __future__ import annotations

import re
from unicodedata import digit

from flows.flow import Flow
from flows.reading import TakesReading, meter_reading
from flows.records import Args, Policy, Reader, Said, Status, Take, Tell, Text
from flows.screens import Bad, ask, ask_reading, confirm, decide, end, goto, menu

#: The statuses of a meter that could not be read.
UNREAD = frozenset({"MD", "LK"})
#: What may stand in a line and says nothing; and how many other words may, which say the status or that it is a reading.
SPARE, OTHER_WORDS = frozenset({"CA", "NO", "NUMBER", "RDG", "OK", "UNIT", "MOBILE", "MOB"}), 2
#: Mobile numbers are often written in two halves of so many digits.
MOBILE_HALF = 5


def own_account(said: Said, flow: Flow) -> str | Bad:
    """A CA number of the reader's own round."""
    number, reader = said.account or said.number, flow.facts.reader
    return number if reader and number in reader.accounts and number in flow.facts.known else Bad("round")


def mobile_number(given: str, policy: Policy) -> str:
    """A mobile number as people write it, with or without 0 or 91 before it, as `+91...`; empty if it is none."""
    digits = re.sub(r"^(?:0091|91|0)(?=\d{10}$)", "", given)
    return f"+91{digits}" if re.fullmatch(policy.mobile, digits) else ""


def mobile(said: Said, flow: Flow) -> str | Bad:
    """The consumer's number; the reader's own is refused."""
    number = mobile_number(said.number, flow.facts.policy)
    return Bad("own_mobile") if number == flow.conversation.phone else number or Bad("mobile")


def same_mobile(said: Said, flow: Flow) -> str | Bad:
    """The same number once more."""
    number = mobile_number(said.number, flow.facts.policy)
    return number if number == flow.answers["mobile"] else Bad("mobile_twice")


def one_line(said: Said) -> tuple[str, ...]:
    """CA number, status, reading and, if it was given, mobile number of a line by SMS; empty if it is no such line. Where nothing
    could be read, the status as bills print it stands in the reading's place: 100000001 LK."""
    numbers, words = _parts(said)
    if len(numbers) > 2 and all(len(half) == MOBILE_HALF for half in numbers[-2:]):
        numbers[-2:] = ["".join(numbers[-2:])]
    status = said.answers & UNREAD
    if words and (len(words) > OTHER_WORDS or not (status or said.intent == "READING")):
        return ()
    if not said.account or numbers[:1] != [said.account] or len(status) > 1:
        return ()
    if status:
        return (said.account, *status, "", *numbers[1:]) if len(numbers) <= 2 else ()
    return (said.account, "OK", *numbers[1:]) if len(numbers) in (2, 3) else ()


def is_unclear(said: Said, reader: Reader) -> bool:
    """Whether it begins with an account of the round and goes on, and yet is no line."""
    numbers, words = _parts(said)
    goes_on = numbers[:1] == [said.account] and len(numbers) + len(words) > 1
    return said.account in reader.accounts and goes_on and not said.intent and not one_line(said)


def _parts(said: Said) -> tuple[list[str], list[str]]:
    """The numbers of a message, and its words but those that say nothing."""
    parts = [part for part in re.split(r"[\s,.;:/-]+", _ascii_digits(said.raw)) if part]
    return [part for part in parts if part.isdigit()], [
        part for part in parts if not part.isdigit() and part.upper() not in SPARE
    ]


def _ascii_digits(text: str) -> str:
    return "".join(str(digit(one)) if one.isdigit() and not one.isascii() else one for one in text)


class ReaderFlow(TakesReading):
    """Only on a reader's own phone. By SMS one line does it: CA number, reading and, if known, the mobile number."""

    name = "reader"
    intents = {"ROUND": "start"}
    files = True
    screens = {
        "start": decide(),
        "not_reader": end(),
        "home": menu("next", "by_ca", "menu"),
        "home_done": menu("by_ca", "menu"),
        "to_menu": goto("menu"),
        "next": decide(),
        "ca": ask(own_account, field="account"),
        "status": menu("OK", "MD", "LK"),
        "reading": ask_reading(meter_reading),
        "again": ask_reading(meter_reading, field="reading", deliberate=True),
        "mobile": ask(mobile, "leave", field="mobile"),
        "mobile_again": ask(same_mobile, field="mobile"),
        "confirm": confirm(),
        "confirm_unread": confirm(),
        "to_saved": goto("reader", "saved"),
        "saved": menu("next", "by_ca", "menu"),
        "left": menu("next", "by_ca", "menu"),
        "to_next": goto("reader", "next"),
        "to_ca": goto("reader", "ca"),
        "line": decide(),
        "line_elsewhere": end(),
        "line_unclear": end(),
        "line_reading": end(),
        "line_mobile": end(),
    }
    rules = (
        # on screen        answer    go to             only if             and then
        ("start",          "enter",  "not_reader",     "is_stranger"),
        ("start",          "enter",  "home_done",      "is_all_done"),
        ("start",          "enter",  "home"),
        ("home",           "next",   "next"),
        ("home",           "by_ca",  "ca"),
        ("home",           "menu",   "to_menu"),
        ("home_done",      "by_ca",  "ca"),
        ("home_done",      "menu",   "to_menu"),
        ("next",           "enter",  "not_reader",     "is_stranger"),
        ("next",           "enter",  "home_done",      "is_all_done"),
        ("next",           "enter",  "status",         "",                 "go_next"),
        ("ca",             "given",  "status"),
        ("status",         "OK",     "reading"),
        ("status",         "MD",     "mobile"),
        ("status",         "LK",     "confirm_unread"),
        ("reading",        "given",  "again",          "is_odd"),
        ("reading",        "given",  "mobile"),
        ("again",          "given",  "to_saved",       "is_one_line",      "keep"),
        ("again",          "given",  "mobile"),
        ("mobile",         "given",  "mobile_again"),
        ("mobile",         "leave",  "confirm_unread", "is_unread",        "leave_mobile"),
        ("mobile",         "leave",  "confirm",        "",                 "leave_mobile"),
        ("mobile_again",   "given",  "confirm_unread", "is_unread"),
        ("mobile_again",   "given",  "confirm"),
        ("confirm",        "yes",    "to_saved",       "",                 "keep"),
        ("confirm",        "no",     "left"),
        ("confirm_unread", "yes",    "to_saved",       "",                 "keep"),
        ("confirm_unread", "no",     "left"),
        *((screen,         "next",   "to_next") for screen in ("saved", "left")),
        *((screen,         "by_ca",  "to_ca") for screen in ("saved", "left")),
        *((screen,         "menu",   "to_menu") for screen in ("saved", "left")),
        ("line",           "enter",  "line_unclear",   "is_no_line"),
        ("line",           "enter",  "line_elsewhere", "is_elsewhere"),
        ("line",           "enter",  "line_reading",   "has_bad_reading"),
        ("line",           "enter",  "line_mobile",    "has_bad_mobile"),
        ("line",           "enter",  "to_saved",       "is_unread",        "keep"),
        ("line",           "enter",  "again",          "is_odd"),
        ("line",           "enter",  "to_saved",       "",                 "keep"),
    )  # fmt: skip

    @property
    def reader(self) -> Reader:
        """The reader whose phone this is."""
        reader = self.facts.reader
        assert reader is not None
        return reader

    def is_stranger(self) -> bool:
        """Not a reader's phone."""
        return self.facts.reader is None

    def is_all_done(self) -> bool:
        """Every account of the round is read."""
        return not self.reader.next

    def go_next(self) -> None:
        """The next account of the round."""
        self.answers["account"] = self.reader.next

    def is_unread(self) -> bool:
        """Nothing was read."""
        return self.answers["status"] != "OK"

    def leave_mobile(self) -> None:
        """No number was given."""
        self.answers.pop("mobile", None)

    # --- one line by SMS -------------------------------------------------------------------------------------------

    def is_one_line(self) -> bool:
        """Whether it began as one line by SMS."""
        return "line" in self.answers

    def is_no_line(self) -> bool:
        """It looks like a line and cannot be read."""
        return not one_line(self.said)

    def is_elsewhere(self) -> bool:
        """The account is not of this round; else the numbers of the line are taken as answers."""
        account, status, reading, *mobile = one_line(self.said)
        if self.facts.reader is None or account not in self.reader.accounts or account not in self.facts.known:
            return True
        self.answers |= {"account": account, "status": status, "reading": reading, "line": "1"}
        if mobile:
            self.answers["mobile"] = mobile_number(mobile[0], self.facts.policy)
        return False

    def has_bad_reading(self) -> bool:
        """The second number of the line is no reading."""
        if self.is_unread():
            return False
        if len(self.answers["reading"]) > 8:
            return True
        self.answers["reading"] = str(int(self.answers["reading"]))
        return False

    def has_bad_mobile(self) -> bool:
        """The third number of the line is no mobile number, or the reader's own."""
        return self.answers.get("mobile") in ("", self.conversation.phone)

    # --- keeping ---------------------------------------------------------------------------------------------------

    def keep(self) -> None:
        """Keep the reading; a mobile that is new on the account is told first how to object."""
        consumer, answers = self.the_consumer, self.answers
        value = int(answers["reading"]) if answers["status"] == "OK" else None
        number = answers.get("mobile", "")
        status: Status = "MD" if answers["status"] == "MD" else "LK" if answers["status"] == "LK" else "OK"
        self.effects.append(Take(consumer.account, status, value, self.flag, self.reader.staff, number))
        if number and number not in self.reader.phones.get(consumer.account, ()):
            until = self.facts.now + self.facts.policy.link_objection
            told = Text("sms", "noted", {"account": consumer.account})
            self.effects.append(Tell(told, consumer.account, number, context="noted", ref=number, until=until))

    # --- values ----------------------------------------------------------------------------------------------------

    def home_args(self) -> Args:
        """How far the round is."""
        return {"section": self.reader.section, "done": self.reader.done, "total": self.reader.total}

    home_done_args = home_args

    def status_args(self) -> Args:
        """Whose meter it is."""
        consumer = self.the_consumer
        return {"account": consumer.account, "name": consumer.name, "meter": consumer.meter}

    def confirm_args(self) -> Args:
        """What is about to be kept."""
        return {"account": self.the_consumer.account, "reading": int(self.answers["reading"]), "mobile": self._mobile()}

    def confirm_unread_args(self) -> Args:
        """The same without a reading."""
        return {"account": self.the_consumer.account, "status": f"status_{self.answers['status']}"}

    def saved_args(self) -> Args:
        """Which account."""
        return {"account": self.the_consumer.account}

    left_args = saved_args

    def _mobile(self) -> str:
        return self.answers["mobile"][-4:] if self.answers.get("mobile") else "-"
