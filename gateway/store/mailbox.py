"""What is kept for closing gaps in a carrier's webhooks: how far its messages were fetched, and which of them we knew."""

from __future__ import annotations

from datetime import datetime, timedelta

from gateway.records import FETCHED, Answer, Inbound
from gateway.store.sql import Store, millis

_BEGINNING = f"substr(id, 1, {len(FETCHED)})"


class Mailbox:
    """The queries. Those that write belong inside `with store.write():`."""

    def __init__(self, store: Store) -> None:
        self._rows = store.database.rows
        self._run = store.database.run

    def claim(self, carrier: str, now: datetime, every: timedelta) -> str | None:
        """How far the messages of a carrier were fetched, empty at first; None if it is not time yet, or another worker's turn."""
        self._run("insert into inbox_mark values (?, '', 0) on conflict do nothing", (carrier,))
        sql = "update inbox_mark set at = ? where carrier = ? and (at <= ? or at > ?)"  # a mark in the future is a wrong clock's
        if not self._run(sql, (millis(now), carrier, millis(now - every), millis(now))):
            return None
        return str(self._rows("select last_id from inbox_mark where carrier = ?", (carrier,))[0][0])

    def keep_mark(self, carrier: str, last: str) -> None:
        """They were fetched up to this one."""
        self._run("update inbox_mark set last_id = ? where carrier = ?", (last, carrier))

    def twin(self, inbound: Inbound, masked: str) -> Answer | None:
        """What the same SMS was answered when it came the other way: brought by the webhook and fetched, it has two ids."""
        fetched = inbound.id.startswith(FETCHED)
        second = millis(inbound.at) // 1000 * 1000
        sql = f"""select page, ends, screen, lang from inbound where phone = ? and at between ? and ? and channel = 'sms' and carrier = ?
                  and text = ? and {_BEGINNING} {"<>" if fetched else "="} ? limit 1"""
        rows = self._rows(sql, (inbound.phone, second, second + 999, inbound.carrier, masked, FETCHED))
        return Answer(rows[0][0], bool(rows[0][1]), rows[0][2], rows[0][3]) if rows else None

    def lately(self, inbound: Inbound, masked: str, within: timedelta) -> tuple[int, int]:
        """How many SMS came from its phone in the time before it, and how many of them with the same words."""
        sql = """select count(*), coalesce(sum(case when text = ? then 1 else 0 end), 0) from inbound
                 where phone = ? and channel = 'sms' and at > ? and at <= ?"""
        since, at = millis(inbound.at - within), millis(inbound.at)
        all_, equal = self._rows(sql, (masked, inbound.phone, since, at))[0]
        return int(all_), int(equal)

    def is_ours(self, phone: str, text: str) -> bool:
        """Whether these are the very words of something we sent to this phone."""
        return bool(self._rows("select 1 from outbox where phone = ? and text = ? limit 1", (phone, text)))

    def moved_on(self, inbound: Inbound) -> bool:
        """Whether the phone has said something since."""
        return bool(
            self._rows("select 1 from inbound where phone = ? and at > ? limit 1", (inbound.phone, millis(inbound.at) + 999))
        )
