"""Reminders and notices: seen beforehand, started, paused, stopped; a payment or a complaint clears what has not gone out.

The rows of a campaign are written down first, in short transactions, and go into the outbox a few hundred ahead of its
sending: what waits behind can still be cleared, answers to people are never held up, and after a kill the rest goes on
where it was, nobody twice and nobody left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from msgspec.structs import replace

from flows.records import INDIA, Text
from gateway.pen import MOST_PARTS, Pen
from gateway.settings import Settings
from gateway.store import Store
from gateway.store.bills import Bills
from gateway.store.campaigns import Campaign, CampaignKind, Campaigns, Debt, Listener, Selection, State
from gateway.store.sql import campaign_of
from messages import DEFAULT_LANGUAGE, Limits
from messages.catalogue import LANGUAGES

#: Accounts and messages in one transaction.
GROUP = 200
#: The same kind of message about an account is not repeated sooner.
REST = timedelta(days=7)
#: Whoever puts messages of campaigns into the outbox has it to himself, so that none slips in behind a pause or a stop.
SENDING = ("campaigns",)
#: A notice that waits for the end of the quiet hours leaves a day later than it was written; it never leaves later still.
SPARE_DAYS = 1

#: Why somebody is left out, in plain words.
REASONS: Mapping[str, str] = {
    "paid": "paid since the bill",
    "complaint": "a complaint about the bill or the meter is open",
    "told": "told the same in the last days, or about to be",
    "no phone": "no phone is linked",
    "noted": "the phone was noted by a meter reader and is not confirmed yet",
    "muted": "wants no information messages (STOP)",
}


@dataclass(frozen=True, slots=True)
class Preview:
    """What a campaign would do: accounts and phones written to, SMS parts and their price in paise, one sample in each
    language, and how many are left out by reason."""

    accounts: int
    phones: int
    parts: int
    paise: int
    samples: Mapping[str, str]
    left_out: Mapping[str, int]


class Office:
    """Everything that people do with campaigns, and the work that is done for them meanwhile."""

    def __init__(self, store: Store, pen: Pen, settings: Settings) -> None:
        self._store, self._pen, self._settings = store, pen, settings
        self._campaigns, self._bills = Campaigns(store.database), Bills(store.database)

    # --- what people do ---------------------------------------------------------------------------------------------

    def preview(self, selection: Selection, now: datetime) -> Preview:
        """Look at a campaign before it is started; nothing is written."""
        accounts = phones = parts = 0
        left_out: Counter[str] = Counter()
        samples: dict[str, str] = {}
        for debts, listeners in self._groups(selection, now):
            for debt in debts:
                heard, why = self._heard(selection.kind, debt, listeners[debt.account], now)
                left_out.update(why)
                accounts += bool(heard)
                for listener in heard:
                    phones += 1
                    text = self._text(selection.kind, debt, listener, now)
                    lang = self._store.language(listener.phone)
                    said = self._say(text, lang)
                    parts += said[1]
                    samples.setdefault(lang or DEFAULT_LANGUAGE, said[0])
                    if len(samples) < len(LANGUAGES):
                        for other in LANGUAGES:
                            samples.setdefault(other, self._say(text, other)[0])
        price = parts * self._settings.part_paise
        return Preview(accounts, phones, parts, price, samples, dict(left_out))

    def start(self, selection: Selection, who: str, now: datetime) -> int:
        """A new campaign, at once under way; its id."""
        with self._store.write():
            return self._campaigns.add(selection, who, now)

    def pause(self, id_: int) -> bool:
        """Nothing more goes out until it is resumed, not even what is in the outbox."""
        with self._store.write(SENDING):
            taken_back = self._campaigns.take_back(id_)
            return self._campaigns.move(id_, ("running", "done") if taken_back else ("running",), "paused")

    def resume(self, id_: int) -> bool:
        """Go on with a paused campaign."""
        with self._store.write():
            return self._campaigns.move(id_, ("paused",), "running")

    def stop(self, id_: int, now: datetime) -> bool:
        """End it for good; what has not gone out never does."""
        with self._store.write(SENDING):
            taken_back = self._campaigns.take_back(id_)
            before: tuple[State, ...] = ("running", "paused", "done") if taken_back else ("running", "paused")
            stopped = self._campaigns.move(id_, before, "stopped")
            if stopped:
                self._campaigns.drop_waiting(id_, now)
            return stopped

    def all(self) -> list[Campaign]:
        """All campaigns with their progress, the newest first."""
        return self._campaigns.all()

    # --- what is done meanwhile -------------------------------------------------------------------------------------

    def work(self, now: datetime) -> bool:
        """One short piece of work: some more rows, or some more messages; whether there was any."""
        return self._fill(now) or self._send(now)

    def _fill(self, now: datetime) -> bool:
        todo = self._campaigns.next_to_fill()
        if todo is None:
            return False
        id_, selection, reached = todo
        debts = self._debts(selection, reached, now)
        listeners = self._campaigns.listeners([debt.account for debt in debts])
        rows = [
            (debt.account, listener.phone)
            for debt in debts
            for listener in self._heard(selection.kind, debt, listeners[debt.account], now)[0]
        ]
        with self._store.write():
            if debts:
                self._campaigns.fill(id_, selection.kind, rows, reached, debts[-1].account, now)
            else:
                self._campaigns.filled(id_)
        return True

    def _send(self, now: datetime) -> bool:
        room = self._settings.bulk_ahead - self._campaigns.bulk_waiting(self._settings.bulk_ahead)
        if room <= 0 or not self._campaigns.waiting(1):
            return False
        with self._store.write(SENDING):
            for id_, kind, account, phone in self._campaigns.waiting(min(room, GROUP)):
                if self._campaigns.take(id_, account, phone, now) and not self._write(kind, account, phone, now):
                    self._campaigns.clear(id_, account, phone)
            self._campaigns.finish()
        return True

    def _write(self, kind: CampaignKind, account: str, phone: str, now: datetime) -> bool:
        """Write one message, if it still holds; it may have waited for days."""
        consumer = self._store.consumer(account)
        bill = consumer.bill if consumer else None
        listener = next((one for one in self._campaigns.listeners([account])[account] if one.phone == phone), None)
        if bill is None or bill.amount <= 0 or listener is None or (listener.muted and kind != "notice"):
            return False
        overdue = bill.due < now.astimezone(INDIA).date()
        if overdue == (kind == "due"):  # another bill has come meanwhile, or its due day has passed
            return False
        text = self._text(kind, Debt(account, bill.amount, bill.due, ""), listener, now)
        until = self._until(kind, bill.due, now)
        messages = self._pen.compose(text, phone, now=now, inbound=campaign_of(account))
        self._store.enqueue([replace(one, fresh_for=until - max(one.due_at, one.created)) for one in messages])
        self._store.tell(phone, "bill", account, bill.number, now, now + timedelta(days=self._settings.answer_days))
        return True

    # --- how --------------------------------------------------------------------------------------------------------

    def _debts(self, selection: Selection, after: str, now: datetime) -> list[Debt]:
        today = now.astimezone(INDIA).date()
        soon = today + timedelta(days=self._settings.due_soon_days)
        return self._campaigns.debts(selection, after, today, soon, now - REST, GROUP)

    def _groups(self, selection: Selection, now: datetime) -> Iterator[tuple[list[Debt], dict[str, list[Listener]]]]:
        reached = ""
        while debts := self._debts(selection, reached, now):
            yield debts, self._campaigns.listeners([debt.account for debt in debts])
            reached = debts[-1].account

    def _heard(
        self, kind: CampaignKind, debt: Debt, listeners: list[Listener], now: datetime
    ) -> tuple[list[Listener], list[str]]:
        """The phones that are written to, and a reason for each that is not (one for the account if it has none)."""
        if debt.why:
            return [], [debt.why]
        heard, why = [], []
        for listener in listeners:
            if listener.muted and kind != "notice":
                why.append("muted")
            elif not listener.confirmed and not self._is_silent(listener.phone, debt.account, now):
                why.append("noted")
            else:
                heard.append(listener)
        return heard, why

    def _is_silent(self, phone: str, account: str, now: datetime) -> bool:
        """Whether a noted phone was told long enough ago and has not objected."""
        noted = self._bills.noted_on(phone, account)
        return noted is not None and now - noted >= timedelta(days=self._settings.confirm_days)

    def _text(self, kind: CampaignKind, debt: Debt, listener: Listener, now: datetime) -> Text:
        day = now.astimezone(INDIA).date() + timedelta(days=self._settings.notice_clear_days + 1 + SPARE_DAYS)
        key = "due_several" if kind == "due" and listener.accounts > 1 else kind
        return Text("sms", key, {"account": debt.account, "amount": debt.amount, "due": debt.due, "day": day})

    def _until(self, kind: CampaignKind, due: date, now: datetime) -> datetime:
        """How long a message may wait in the outbox: what it says is to hold when it leaves."""
        today = now.astimezone(INDIA).date()
        last = {"due": due, "overdue": today + REST, "notice": today + timedelta(days=SPARE_DAYS)}[kind]
        return datetime.combine(last + timedelta(days=1), time(), INDIA)

    def _say(self, text: Text, lang: str) -> tuple[str, int]:
        reply = self._pen.voice.say(text, lang, Limits("sms", parts=MOST_PARTS))
        return "\n".join(reply.pages), sum(reply.parts for _ in reply.pages)
