"""The queries behind what people are told about their bills."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from gateway.store.sql import Database, moment


@dataclass(frozen=True, slots=True)
class Linked:
    """A phone of an account: whether the person has confirmed the link, and how many accounts the phone has."""

    phone: str
    confirmed: bool
    accounts: int


class Bills:
    """Reads only."""

    def __init__(self, database: Database) -> None:
        self._rows = database.rows

    def has_later_bill(self, account: str, month: date) -> bool:
        """Whether a bill of a later month is known."""
        sql = "select 1 from bill where account = ? and month > ? limit 1"
        return bool(self._rows(sql, (account, month.isoformat())))

    def linked(self, account: str) -> list[Linked]:
        """The phones of an account."""
        sql = """select k.phone, k.confirmed, (select count(*) from link o where o.phone = k.phone) from link k
                 where k.account = ? order by k.linked_at"""
        return [Linked(phone, bool(confirmed), accounts) for phone, confirmed, accounts in self._rows(sql, (account,))]

    def noted_on(self, phone: str, account: str) -> datetime | None:
        """When the phone was told that a meter reader noted it for this account; an earlier noting that was objected to does
        not count."""
        sql = """select min(t.at) from told t join link k on k.phone = t.phone and k.account = t.account
                 where t.phone = ? and t.kind = 'noted' and t.account = ? and t.at >= k.linked_at"""
        rows = self._rows(sql, (phone, account))
        return moment(rows[0][0]) if rows[0][0] is not None else None

    def last_payment(self, account: str) -> int:
        """The last payment in paise, 0 if there is none."""
        rows = self._rows("select amount from payment where account = ? order by paid_on desc limit 1", (account,))
        return int(rows[0][0]) if rows else 0
