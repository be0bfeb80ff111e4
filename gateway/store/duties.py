"""The queries of data protection: what is kept of a phone, what is erased and when, and who looked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from flows.records import Conversation, Place
from gateway.store.sql import Database, millis

_conversation = msgspec.json.Decoder(Conversation).decode
_encode = msgspec.json.Encoder().encode

#: What is kept of a phone: table -> its column of phones.
OF_A_PHONE: Mapping[str, str] = {
    "conversation": "phone", "link": "phone", "inbound": "phone", "outbox": "phone", "request": "phone", "report": "phone",
    "told": "phone", "phone_event": "phone", "reading": "phone", "campaign_row": "phone", "watch": "phone",
    "delivery": "phone", "counter": "phone",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ages:
    """Before when something is old, as kept: USSD answers, texts, and the bare log of both."""

    ussd: int
    texts: int
    logs: int


@dataclass(frozen=True, slots=True)
class Old:
    """Rows that are deleted once they are old: those of a table for which the condition holds, found by the columns of its key."""

    table: str
    key: str
    where: str


@dataclass(frozen=True, slots=True)
class Log:
    """A table of what happened to phones and when: what its rows are found by, and the key before the first of them."""

    table: str
    key: tuple[str, ...]
    first: tuple[str | int, ...]


class Duties:
    """Belongs inside `with store.write():` where it writes."""

    def __init__(self, database: Database) -> None:
        self._rows, self._rows_in, self._run, self._many = database.rows, database.rows_in, database.run, database.many

    def held(self, phone: str) -> dict[str, int]:
        """How many rows of each table are about a phone."""
        return {
            table: int(self._rows(f"select count(*) from {table} where {column} = ?", (phone,))[0][0])
            for table, column in OF_A_PHONE.items()
        }

    # --- erasing by age ---------------------------------------------------------------------------------------------

    def erased_until(self, before: datetime) -> None:
        """Write down that rows older than this may have lost what they belong to: `gateway check` leaves them alone."""
        sql = """insert into upkeep values ('purged', ?) on conflict (name) do update set at = excluded.at
                 where upkeep.at < excluded.at"""
        self._run(sql, (millis(before),))

    def delete(self, old: Old, before: datetime, limit: int) -> int:
        """Delete some of the rows that are older."""
        found = self._rows(f"select {old.key} from {old.table} where {old.where} limit ?", (millis(before), limit))
        self._many(f"delete from {old.table} where {' and '.join(f'{column} = ?' for column in old.key.split(', '))}", found)
        return len(found)

    def age_inbound(
        self, after: tuple[str, str], ages: Ages, alias: Callable[[str], str], limit: int
    ) -> tuple[int, tuple[str, str]]:
        """Go on through what people sent, behind a phone and id: delete and blank what is old. How many rows, and where that
        was (empty: the end). A blanked row keeps what was answered and when, under the phone's alias."""
        sql = "select phone, id, channel, at from inbound where (phone, id) > (?, ?) order by phone, id limit ?"
        rows = self._rows(sql, (*after, limit))
        gone, bare = [], []
        for phone, id_, channel, at in rows:
            if at < ages.logs or (channel == "ussd" and at < ages.ussd):
                gone.append((phone, id_))
            elif at < ages.texts and phone.startswith("+"):
                bare.append((alias(phone), phone, id_))
        self._many("delete from inbound where phone = ? and id = ?", gone)
        self._many("update inbound set text = '', page = '', phone = ? where phone = ? and id = ?", bare)
        return len(gone) + len(bare), (rows[-1][0], rows[-1][1]) if len(rows) == limit else ("", "")

    def age_outbox(self, after: int, ages: Ages, alias: Callable[[str], str], limit: int) -> tuple[int, int]:
        """The same for what we sent, behind an id (0: the end); template, time and result stay."""
        sql = "select id, phone, state, created from outbox where id > ? order by id limit ?"
        rows = self._rows(sql, (after, limit))
        old = [row for row in rows if row[2] not in ("waiting", "sending")]
        gone = [(id_,) for id_, _, _, created in old if created < ages.logs]
        bare = [
            (alias(phone), id_) for id_, phone, _, created in old if ages.logs <= created < ages.texts and phone.startswith("+")
        ]
        self._many("delete from outbox where id = ?", gone)
        sql = "update outbox set text = '', phone = ?, state = case when state = 'stopped' then 'failed' else state end where id = ?"
        self._many(sql, bare)  # nobody is left to send it to, should its template's queue go on one day
        young = bool(rows) and rows[-1][3] >= ages.texts  # they come in the order of their ids
        return len(gone) + len(bare), rows[-1][0] if len(rows) == limit and not young else 0

    def age_log(
        self, log: Log, after: tuple[str | int, ...], ages: Ages, alias: Callable[[str], str], limit: int
    ) -> tuple[int, tuple[str | int, ...]]:
        """The same for a log, behind a key (the first: the end)."""
        keys, marks = ", ".join(log.key), ", ".join("?" * len(log.key))
        sql = f"select phone, at, {keys} from {log.table} where ({keys}) > ({marks}) order by {keys} limit ?"
        rows = self._rows(sql, (*after, limit))
        this = " and ".join(f"{column} = ?" for column in log.key)
        gone = [key for _, at, *key in rows if at < ages.logs]
        bare = [(alias(phone), *key) for phone, at, *key in rows if ages.logs <= at < ages.texts and phone.startswith("+")]
        self._many(f"delete from {log.table} where {this}", gone)
        self._many(f"update {log.table} set phone = ? where {this}", bare)
        return len(gone) + len(bare), tuple(rows[-1][2:]) if len(rows) == limit else log.first

    def forget_drafts(self, before: datetime, after: str, limit: int) -> tuple[int, str]:
        """Answers of conversations left unfinished: how many were dropped, and the phone reached (empty: all are done)."""
        sql = "select phone, data, seen from conversation where phone > ? order by phone limit ?"
        rows = self._rows(sql, (after, limit))
        drafts = []
        for phone, data, seen in rows:
            if seen < millis(before) and (kept := _conversation(data)) and (kept.place.screen or kept.held or kept.pages):
                bare = Conversation(phone, lang=kept.lang, place=Place(), seen=kept.seen)
                drafts.append((_encode(bare).decode(), phone))
        self._many("update conversation set data = ? where phone = ?", drafts)
        return len(drafts), rows[-1][0] if len(rows) == limit else ""

    def drop_idle(self, before: datetime, now: datetime, after: str, limit: int) -> tuple[int, str]:
        """Phones that were last heard of before then and that nothing binds to us: no account, no open request, no message they
        may answer, no STOP. How many were dropped, and the phone reached (empty: all are done)."""
        rows = self._rows("select phone from conversation where phone > ? order by phone limit ?", (after, limit))
        sql = """delete from conversation where phone > ? and phone <= ? and seen < ? and told_until < ? and muted = 0
                 and not exists (select 1 from link k where k.phone = conversation.phone) and not exists (
                     select 1 from report p join request r on r.ticket = p.ticket where p.phone = conversation.phone and r.open = 1)"""
        gone = self._run(sql, (after, rows[-1][0], millis(before), millis(now))) if rows else 0
        return gone, rows[-1][0] if len(rows) == limit else ""

    def delete_requests(self, before: datetime, limit: int) -> int:
        """Requests that ended so long ago, with all that belongs to them."""
        found = self._rows("select ticket from request where open = 0 and since < ? limit ?", (millis(before), limit))
        for table in ("applicant", "report", "event", "request"):
            self._many(f"delete from {table} where ticket = ?", found)
        return len(found)

    # --- erasing a person -------------------------------------------------------------------------------------------

    def forget(self, phone: str, alias: str) -> None:
        """A phone is unlinked, its texts are erased, its requests stay as the company's record without the person."""
        for table in ("conversation", "link", "told", "phone_event", "watch", "counter"):
            self._run(f"delete from {table} where phone = ?", (phone,))
        self._run("update inbound set text = '', page = '', phone = ? where phone = ?", (alias, phone))
        sql = "update outbox set state = 'failed', note = 'erased' where phone = ? and state in ('waiting', 'stopped')"
        self._run(sql, (phone,))
        self._run("update outbox set text = '', phone = ? where phone = ?", (alias, phone))
        self._run("update campaign_row set state = 'cleared' where phone = ? and state = 'waiting'", (phone,))
        for campaign, account in self._rows("select campaign, account from campaign_row where phone = ?", (phone,)):
            sql = "update campaign_row set phone = ? where campaign = ? and account = ? and phone = ?"
            self._run(sql, (alias or f"erased {account}", campaign, account, phone))
        for ticket, details in self._rows("select ticket, details from request where phone = ?", (phone,)):
            self._run(
                "update request set phone = '', tail = '', details = ? where ticket = ?", (_without_person(details), ticket)
            )
            self._run("delete from applicant where ticket = ?", (ticket,))
        for (ticket,) in self._rows("select ticket from report where phone = ?", (phone,)):
            self._run("update report set phone = ?, details = '{}' where ticket = ? and phone = ?",
                      (alias or f"erased {ticket}", ticket, phone))  # fmt: skip
        self._run("update delivery set phone = '' where phone = ?", (phone,))
        self._run("update event set who = '' where who = ?", (phone,))
        self._run("update reading set phone = '' where phone = ?", (phone,))


def _without_person(details: str) -> str:
    """A request's details without the name and the address that were sent for it."""
    kept = msgspec.json.decode(details, type=dict[str, str])
    return _encode({field: value for field, value in kept.items() if field not in ("name", "address", "near")}).decode()


#: Deleted by age: what, and the setting that says how old.
DELETED: Sequence[tuple[Old, str]] = (
    (Old("quarantine", "id", "at < ?"), "keep_text_days"),
    (Old("told", "id", "until < ? and kind <> 'noted'"), "keep_text_days"),
    (Old("reading", "id", "at < ? and handed > 0"), "keep_reading_days"),
    (Old("campaign_row", "campaign, account, phone", "at < ? and state <> 'waiting'"), "keep_text_days"),
)
#: What happened to phones: blanked, and later deleted.
LOGS: Sequence[Log] = (
    Log("delivery", ("carrier", "reference", "status"), ("", "", "")),
    Log("phone_event", ("phone", "at"), ("", 0)),
    Log("counter", ("talk",), ("",)),
)
