"""A USSD session that drops in the middle of a service: its phone is told once, by SMS, how to go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from flows.records import Text
from flows.step import is_unfinished
from gateway.pen import Pen
from gateway.records import SessionEnd
from gateway.store import Store
from gateway.store.sql import millis, moment

#: Sessions looked at in one transaction.
GROUP = 50


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Told by the carrier that a session is over (it may never say so), or after so long that no session lives any more.

    What is watched was written down by the hop that began the service (flows.records.Watch). One SMS per phone and service
    in the time a question stays open: who dials again and drops again has been told.
    """

    store: Store
    pen: Pen
    session_life: timedelta
    idle: timedelta
    clock: Callable[[], datetime]

    def ended(self, event: SessionEnd) -> None:
        """The carrier says that a session is over."""
        if self.store.database.rows("select 1 from watch where phone = ? and session = ?", (event.phone, event.session)):
            with self.store.write([event.phone]):
                self._settle(event.phone, event.session, event.carrier)

    def sweep(self) -> int:
        """The sessions that must be over by now; how many were looked at."""
        sql = "select phone, session, carrier from watch where at < ? limit ?"
        rows = self.store.database.rows(sql, (millis(self.clock() - self.session_life), GROUP))
        for phone, session, carrier in rows:
            with self.store.write([phone]):
                self._settle(phone, session, carrier, timed_out=True)
        return len(rows)

    def _settle(self, phone: str, session: str, carrier: str, *, timed_out: bool = False) -> None:
        now = self.clock()
        conversation = self.store.recall(phone, now.date()).conversation
        seen = conversation.seen or moment(0)
        if timed_out and conversation.session == session and now - seen < self.session_life:
            self.store.database.run("update watch set at = ? where phone = ?", (millis(seen), phone))  # it is still alive
            return
        if not self.store.database.run("delete from watch where phone = ? and session = ?", (phone, session)):
            return  # another worker has settled it, or the phone has dialled again
        place = conversation.place
        if conversation.session != session or not is_unfinished(place) or self._was_told(phone, place.flow, now):
            return
        text = Text("sms", "unfinished")
        self.store.enqueue(self.pen.compose(text, phone, now=now, lang=conversation.lang, carrier=carrier, channel="ussd"))
        self.store.tell(phone, "unfinished", "", place.flow, now, seen + self.idle)

    def _was_told(self, phone: str, flow: str, now: datetime) -> bool:
        sql = "select 1 from told where phone = ? and kind = 'unfinished' and ref = ? and at > ? limit 1"
        return bool(self.store.database.rows(sql, (phone, flow, millis(now - self.idle))))
