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
    """Rows that are deleted once they are old: those of a table for which the condition holds, oldest first by its time."""

    table: str
    key: str
    where: str


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

    def delete(self, old: Old, before: datetime, limit: int) -> int:
        """Delete some of the rows that are older."""
        found = self._rows(f"select {old.key} from {old.table} where {old.where} limit ?", (millis(before), limit))
        self._many(f"delete from {old.table} where {old.key} = ?", found)
        return len(found)

    def delete_log(self, table: str, before: datetime) -> int:
        """Delete the rows of a log that are older."""
        return self._run(f"delete from {table} where at < ?", (millis(before),))

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
        self._many("update outbox set text = '', phone = ? where id = ?", bare)
        young = bool(rows) and rows[-1][3] >= ages.texts  # they come in the order of their ids
        return len(gone) + len(bare), rows[-1][0] if len(rows) == limit and not young else 0

    def blank_reports(self, ages: Ages) -> int:
        """The phones of old delivery reports."""
        return self._run("update delivery set phone = '' where phone <> '' and at < ?", (ages.texts,))

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
        self._run("update outbox set state = 'failed', note = 'erased' where phone = ? and state = 'waiting'", (phone,))
        self._run("update outbox set text = '', phone = ? where phone = ?", (alias, phone))
        self._run("update campaign_row set state = 'cleared' where phone = ? and state = 'waiting'", (phone,))
        for campaign, account in self._rows("select campaign, account from campaign_row where phone = ?", (phone,)):
            sql = "update campaign_row set phone = ? where campaign = ? and account = ? and phone = ?"
            self._run(sql, (alias or f"erased {account}", campaign, account, phone))
        for ticket, details in self._rows("select ticket, details from request where phone = ?", (phone,)):
            self._run("update request set phone = '', details = ? where ticket = ?", (_without_person(details), ticket))
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
)
#: Deleted by age, without a key of their own.
LOGS = ("delivery", "phone_event", "counter", "campaign_row")
