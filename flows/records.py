"""The values that cross the walls: what a conversation is, what a step is told, and what it answers.

All of them are frozen, and Structs because a hop makes dozens: those are built and changed in C (`replace` makes the changed
copy). What the store reads whole is `array_like`: an array of its fields in their order. Money is whole paise, times are aware,
phone numbers are E.164 (`+91...`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace as replace

Channel = Literal["ussd", "sms", "missed"]
Area = Literal["urban", "rural"]
#: What a meter reader finds: read, meter defective, house locked (printed on Bihar bills: utility.md section 3).
Status = Literal["OK", "MD", "LK"]
#: Why a reading was asked for twice and kept nevertheless.
Flag = Literal["", "smaller", "high"]
#: How the number of a bill made by the demonstration tariff begins.
DEMONSTRATION = "DEMO"
#: India has one time zone and no summer time.
INDIA = timezone(timedelta(hours=5, minutes=30))
#: Values for the slots of a text or of an option's label, by slot name.
Args = Mapping[str, object]


class Name(Struct, frozen=True, array_like=True):
    """A person's or a place's name in both scripts; either may be empty."""

    deva: str = ""
    latin: str = ""


# --- what the company knows -----------------------------------------------------------------------------------------


class Bill(Struct, frozen=True, array_like=True):
    """One month's bill as the billing system sent it; nothing in it is computed here.

    `amount` is what is payable by `due`; `current`, `arrears` and `surcharge` (the late charge) are its parts. All paise.
    `basis` is the meter status printed on Bihar bills: OK, MD (meter defective), LK (locked): anything but OK is an average bill.
    `free` says that the free-units scheme was applied.
    """

    account: str
    number: str
    month: date
    due: date
    amount: int
    current: int = 0
    arrears: int = 0
    surcharge: int = 0
    previous: int = 0
    present: int = 0
    units: int = 0
    basis: str = "OK"
    free: bool = False

    @property
    def is_demonstration(self) -> bool:
        """Whether the demonstration tariff made it, not the company's billing system."""
        return self.number.startswith(DEMONSTRATION)


class Payment(Struct, frozen=True, array_like=True):
    """The last payment on an account, in paise."""

    on: date
    amount: int
    receipt: str = ""


class Consumer(Struct, frozen=True, array_like=True):
    """One connection (contract account) with what a conversation may need of it.

    `load` is the sanctioned load in watts. `balance` is the prepaid balance in paise, None for a postpaid account.
    `transformer` may be unknown (empty).
    """

    account: str
    name: Name
    meter: str
    area: Area
    pin: str
    section: str
    feeder: str
    transformer: str
    load: int
    phases: int = 1
    balance: int | None = None
    balance_on: date | None = None
    bill: Bill | None = None
    payment: Payment | None = None

    @property
    def dues(self) -> int:
        """What must be paid now, in paise; a credit is no dues."""
        return max(0, self.bill.amount) if self.bill else 0


class Feeder(Struct, frozen=True):
    """An 11 kV feeder, as people of the place may know it."""

    code: str
    name: Name


class Request(Struct, frozen=True):
    """A request or complaint that staff work off. `asset` is what it is about when that is shared: a transformer."""

    ticket: str
    service: str
    state: str
    filed: datetime
    since: datetime
    account: str = ""
    asset: str = ""
    phone: str = ""
    due: datetime | None = None
    reports: int = 1
    details: Mapping[str, str] = field(default_factory=dict)


class Context(Struct, frozen=True):
    """What a message we sent may be answered with: `kind` says which, `ref` names the thing (a ticket, a phone)."""

    id: int
    kind: str
    account: str
    ref: str
    until: datetime
    at: datetime


class Reader(Struct, frozen=True):
    """A meter reader and the round: how many of its accounts are read this month, and the next one (empty: none is left).

    `accounts` are those of the round that the conversation names, `phones` the phones linked to each of them.
    """

    staff: str
    section: Name
    accounts: frozenset[str]
    total: int
    done: int
    next: str
    phones: Mapping[str, frozenset[str]] = field(default_factory=dict)


# --- the conversation -----------------------------------------------------------------------------------------------


class Option(Struct, frozen=True):
    """One line a person can choose: `name` is the trigger, `value` what is kept as the answer (the name if empty)."""

    name: str
    value: str = ""
    args: Args = field(default_factory=dict)


class Place(Struct, frozen=True, omit_defaults=True):
    """Where a conversation stands: the flow, its screen (none: nothing is asked), the answers so far, and the way back."""

    flow: str = "menu"
    screen: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)
    trail: tuple[str, ...] = ()


class Conversation(Struct, frozen=True, omit_defaults=True):
    """One phone's conversation, the same row for USSD and SMS.

    `shown` holds name and value of the options last shown, in their order; `pages` the finished pages of the last screen
    when there is more than one. `held` is a place to return to. `session` and `heard` tell how much of a USSD session's
    cumulative text has been taken in. `ahead` are inputs dialled before the phone had a language.
    """

    phone: str
    lang: str = ""
    place: Place = field(default_factory=Place)
    held: Place | None = None
    shown: tuple[tuple[str, str], ...] = ()
    pages: tuple[str, ...] = ()
    page: int = 0
    tries: int = 0
    session: str = ""
    heard: str = ""
    ahead: tuple[Said, ...] = ()
    seen: datetime | None = None


class Said(Struct, frozen=True, omit_defaults=True):
    """One thing a person said, already understood as far as words go (see messages/understand.py).

    `number` is the input as ASCII digits if it is a number in any script, else empty. `intent` is the keyword that was
    recognised with certainty, `guesses` near misses, which are only ever asked about. `answers` are option names the words
    may stand for. `account` and `pin` are numbers of that shape named beside a keyword, `words` what follows the keyword;
    `numbers` are all of them in a message of several numbers and nothing else.
    `register` is the language it was written in, as far as that can be told. `aadhaar` says that an Aadhaar-looking number
    was masked in it.
    """

    raw: str = ""
    number: str = ""
    intent: str = ""
    guesses: tuple[str, ...] = ()
    answers: frozenset[str] = frozenset()
    account: str = ""
    ticket: str = ""
    pin: str = ""
    words: str = ""
    numbers: tuple[str, ...] = ()
    register: str = ""
    aadhaar: bool = False


class LimitChange(Struct, frozen=True):
    """A time limit that is in force from a day on."""

    service: str
    area: Area
    limit: timedelta
    since: date


class Policy(Struct, frozen=True):
    """The company's rules as numbers. Every one is a setting with a source note: see gateway/settings.py.

    `limits` gives the time limit of a service in an area, `changes` those in force from a day on. `phone_from_load` (watts)
    and `phone_from_date` open new connections by phone. `test_fee` is the meter test fee in paise by number of phases.
    `objection` is how long GALAT undoes a disconnection or halts a name transfer, `link_objection` a new link,
    `patience` how long the desk awaits the person's answer before it may close a request as expired. `resume` is
    how long an unfinished conversation is offered again, `idle` how long a question stays open at all, `answer_life` how
    long a message about a bill may be answered. A reading is far above the usual if it is more than `usual_times` the last
    units and than `usual_least`. `own_reading` are the days of the month between which people send their own. `mobile` is
    the shape of a mobile number.
    """

    limits: Mapping[tuple[str, Area], timedelta]
    priority_load: int
    phone_from_load: int
    phone_from_date: date
    test_fee: Mapping[int, int]
    objection: timedelta
    link_objection: timedelta
    patience: timedelta
    resume: timedelta
    idle: timedelta
    guesses_a_day: int
    bill_to_unlinked: Literal["none", "amount_only", "full"]
    free_units: int
    usual_times: int
    usual_least: int
    own_reading: tuple[int, int]
    mobile: str
    answer_life: timedelta
    keep_texts: timedelta
    changes: tuple[LimitChange, ...] = ()

    def limit(self, service: str, area: Area, day: date) -> timedelta | None:
        """The time limit in force on a day: the latest change that has come, else the one there was."""
        came = [one for one in self.changes if (one.service, one.area) == (service, area) and one.since <= day]
        return max(came, key=lambda one: one.since).limit if came else self.limits.get((service, area))


class Facts(Struct, frozen=True):
    """Everything a step may need to know, read in the same transaction before it.

    `linked` are this phone's accounts, `noted` those of them that a meter reader noted and nobody has confirmed yet; `known`
    are the linked ones and any account named in the message or the answers. `requests` are the open ones of this phone, of
    those accounts and of their transformers, and any named by ticket. `feeders` are those that serve a PIN code named in the
    message or the answers. `reported` are the tickets this phone has filed or joined, known where a shared request is among
    `requests`. `guesses` counts today's wrong guesses of this phone.
    `lapsed` says that nothing we told this phone may be answered any more, and that something could be once. `reader` is set
    on a meter reader's phone; `staff` gives the section of each staff number asked about that is one of ours.
    """

    now: datetime
    channel: Channel
    ticket: str
    policy: Policy
    linked: tuple[Consumer, ...] = ()
    noted: frozenset[str] = frozenset()
    known: Mapping[str, Consumer] = field(default_factory=dict)
    requests: tuple[Request, ...] = ()
    feeders: Mapping[str, tuple[Feeder, ...]] = field(default_factory=dict)
    contexts: tuple[Context, ...] = ()
    reported: frozenset[str] = frozenset()
    guesses: int = 0
    opted_out: bool = False
    lapsed: bool = False
    reader: Reader | None = None
    staff: Mapping[str, Name] = field(default_factory=dict)

    def is_linked(self, account: str) -> bool:
        """Whether an account is linked to this phone."""
        return any(consumer.account == account for consumer in self.linked)


# --- what a step answers --------------------------------------------------------------------------------------------


class Text(Struct, frozen=True):
    """A text to be said later in whatever language: the screen's words with values, the options, and lines put on top."""

    flow: str
    screen: str
    args: Args = field(default_factory=dict)
    options: tuple[Option, ...] = ()
    top: tuple[str, ...] = ()
    back: bool = False
    ends: bool = False


class File(Struct, frozen=True):
    """Open a request under the fresh ticket. `due` is its time limit; `priority` puts it in the larger-loads queue.

    `unverified` says that the phone is not one of the account's linked phones: staff check identity first.
    """

    service: str
    ticket: str
    account: str = ""
    asset: str = ""
    pin: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    due: datetime | None = None
    priority: bool = False
    unverified: bool = False


class Join(Struct, frozen=True):
    """Add this phone to the open request about the same asset."""

    ticket: str
    details: Mapping[str, str] = field(default_factory=dict)


class Note(Struct, frozen=True):
    """Add what a person sent afterwards (a name, an address) to their request."""

    ticket: str
    field: str
    value: str


class Cancel(Struct, frozen=True):
    """The objecting word: the request ends as cancelled (`held` False) or waits for staff to look (`held` True)."""

    ticket: str
    held: bool = False


class Reopen(Struct, frozen=True):
    """What was said to be finished is not: the request is worked on again."""

    ticket: str


class Link(Struct, frozen=True):
    """Link this phone to an account."""

    account: str


class Unlink(Struct, frozen=True):
    """End the link of a phone to an account."""

    account: str
    phone: str


class Guess(Struct, frozen=True):
    """A wrong guess at an account or at its second fact, counted per phone and day."""


class Answered(Struct, frozen=True):
    """A reply context has been answered and is closed."""

    context: int


class Tell(Struct, frozen=True):
    """Send a text to other phones: to `phone`, or, if that is empty, to every phone linked to `account` but the speaker's.

    `context` names what the text may be answered with, until `until`.
    """

    text: Text
    account: str = ""
    phone: str = ""
    context: str = ""
    ref: str = ""
    until: datetime | None = None


class Mute(Struct, frozen=True):
    """Information messages off or on for this phone."""

    on: bool


class Take(Struct, frozen=True):
    """Keep a meter reading, to be handed to the billing system. `value` is None if nothing could be read.

    `staff` is the reader's staff number, empty for the consumer's own reading. `mobile` is the consumer's phone as noted by
    the reader: a link to be confirmed.
    """

    account: str
    status: Status
    value: int | None = None
    flag: Flag = ""
    staff: str = ""
    mobile: str = ""


class Confirm(Struct, frozen=True):
    """The person answered about this account: a link that a meter reader noted is theirs."""

    account: str


class Claim(Struct, frozen=True):
    """The person says that the bill is paid: reminders that are still to go out about this account are dropped."""

    account: str


class Watch(Struct, frozen=True):
    """A service has been begun in a USSD session: if the session drops, its phone is told once how to go on."""


Effect = File | Join | Note | Cancel | Reopen | Link | Unlink | Guess | Answered | Tell | Mute | Take | Confirm | Claim | Watch


class Turn(Struct, frozen=True):
    """What a step makes of what was said. `text` None: the page at `conversation.page`, already cut, is shown."""

    conversation: Conversation
    text: Text | None
    effects: tuple[Effect, ...] = ()
