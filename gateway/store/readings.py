"""The queries of meter readers, their rounds, the readings taken, and how far the linking of phones is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from flows.records import INDIA, Name, Reader, Take
from gateway.store.sql import Database, millis, moment


def cycle(now: datetime) -> str:
    """The billing month a reading of this moment belongs to."""
    return now.astimezone(INDIA).date().replace(day=1).isoformat()


@dataclass(frozen=True, slots=True)
class Taken:
    """A reading on its way to the billing system. `staff` is empty for the consumer's own."""

    id: int
    account: str
    month: date
    at: datetime
    status: str
    value: int | None
    flag: str
    staff: str
    previous: int | None
    tries: int


@dataclass(frozen=True, slots=True)
class Linking:
    """Of a section: its accounts, how many have a phone, how many of those are confirmed, and new ones by week (Monday)."""

    section: str
    name: Name
    accounts: int
    linked: int
    confirmed: int
    weeks: dict[date, int]


class Readings:
    """Belongs inside `with store.write():` where it writes."""

    def __init__(self, database: Database) -> None:
        self._rows, self._rows_in, self._run, self._many = database.rows, database.rows_in, database.run, database.many

    # --- readers and rounds -----------------------------------------------------------------------------------------

    def readers(self, phones: Sequence[str], named: Iterable[str], now: datetime) -> dict[str, Reader]:
        """The meter readers among these phones, each with the round and those of the named accounts that are in it."""
        sql = """select r.phone, r.staff, coalesce(s.name_deva, r.section), coalesce(s.name_latin, r.section)
                 from reader r left join section s on s.code = r.section where r.active = 1 and r.phone in (?*)"""
        return {
            phone: self._reader(staff, Name(deva, latin), named, cycle(now))
            for phone, staff, deva, latin in self._rows_in(sql, phones)
        }

    def _reader(self, staff: str, section: Name, named: Iterable[str], month: str) -> Reader:
        unread = "not exists (select 1 from reading d where d.account = r.account and d.month = ? and d.staff <> '')"
        ((total,),) = self._rows("select count(*) from round r where r.staff = ?", (staff,))
        ((left,),) = self._rows(f"select count(*) from round r where r.staff = ? and {unread}", (staff, month))
        sql = f"select r.account from round r where r.staff = ? and {unread} order by r.seq limit 1"
        first = self._rows(sql, (staff, month))
        sql = "select 1 from round where staff = ? and account = ?"
        here = frozenset(account for account in named if self._rows(sql, (staff, account)))
        following = first[0][0] if first else ""
        here |= {following} - {""}
        phones: dict[str, frozenset[str]] = {}
        for account, phone in self._rows_in("select account, phone from link where account in (?*)", list(here)):
            phones[account] = phones.get(account, frozenset()) | {phone}
        return Reader(staff, section, here, total, total - left, following, phones)

    def staff(self, numbers: Sequence[str]) -> dict[str, Name]:
        """The sections of those of these staff numbers that are ours."""
        sql = """select r.staff, coalesce(s.name_deva, r.section), coalesce(s.name_latin, r.section)
                 from reader r left join section s on s.code = r.section where r.active = 1 and r.staff in (?*)"""
        return {staff: Name(deva, latin) for staff, deva, latin in self._rows_in(sql, numbers)} if numbers else {}

    def add_reader(self, staff: str, phone: str, name: Name, section: str) -> int:
        """A reader with a phone and the accounts of a section as the round, transformer by transformer; how many those are."""
        sql = """insert into reader (staff, phone, name_deva, name_latin, section, active) values (?, ?, ?, ?, ?, 1)
                 on conflict (staff) do update set phone = excluded.phone, name_deva = excluded.name_deva,
                 name_latin = excluded.name_latin, section = excluded.section, active = 1"""
        self._run(sql, (staff, phone, name.deva, name.latin, section))
        self._run("delete from round where staff = ?", (staff,))
        sql = """select c.account from consumer c left join round r on r.account = c.account
                 where c.section = ? and r.account is null and c.balance is null
                 order by c.transformer, c.address_latin, c.account"""
        accounts = [row[0] for row in self._rows(sql, (section,))]
        self._many("insert into round (account, staff, seq) values (?, ?, ?)",
                   [(account, staff, seq) for seq, account in enumerate(accounts, 1)])  # fmt: skip
        return len(accounts)

    def dismiss_reader(self, staff: str) -> bool:
        """The reader's phone and staff number count no more; the round is free for another."""
        self._run("delete from round where staff = ?", (staff,))
        return self._run("update reader set active = 0, phone = staff where staff = ? and active = 1", (staff,)) > 0

    def list_readers(self) -> list[tuple[str, str, str, str, int]]:
        """Staff number, phone, name in Latin letters, section and accounts of every active reader."""
        sql = """select r.staff, r.phone, r.name_latin, r.section, (select count(*) from round o where o.staff = r.staff)
                 from reader r where r.active = 1 order by r.staff"""
        return [tuple(row) for row in self._rows(sql)]

    # --- readings ---------------------------------------------------------------------------------------------------

    def keep(self, take: Take, phone: str, now: datetime) -> None:
        """Keep a reading, and link the consumer's mobile if the reader noted one, to be confirmed by the person."""
        at = millis(now)
        last = self._rows("select present from bill where account = ? order by month desc limit 1", (take.account,))
        sql = """insert into reading (account, month, at, status, value, flag, staff, phone, previous, due_at)
                 values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
        self._run(sql, (take.account, cycle(now), at, take.status, take.value, take.flag, take.staff, phone,
                        last[0][0] if last else None, at))  # fmt: skip
        if take.mobile:
            sql = "insert into link (phone, account, linked_at, how, confirmed) values (?, ?, ?, 'reader', 0) on conflict do nothing"
            if self._run(sql, (take.mobile, take.account, at)):
                self._run("insert into phone_event values (?, ?, 'noted', ?)", (take.mobile, at, take.account))

    def waiting(self, now: datetime, limit: int) -> list[Taken]:
        """The readings that are to be handed over now, oldest first."""
        sql = """select id, account, month, at, status, value, flag, staff, previous, tries from reading
                 where handed = 0 and due_at <= ? order by due_at, id limit ?"""
        return [
            Taken(id_, account, date.fromisoformat(month), moment(at), status, value, flag, staff, previous, tries)
            for id_, account, month, at, status, value, flag, staff, previous, tries in self._rows(sql, (millis(now), limit))
        ]

    def claim(self, id_: int, now: datetime, lease: timedelta) -> bool:
        """Take a reading in hand for so long; False if another worker has."""
        sql = "update reading set due_at = ? where id = ? and handed = 0 and due_at <= ?"
        return bool(self._run(sql, (millis(now + lease), id_, millis(now))))

    def handed(self, id_: int, now: datetime) -> None:
        """The billing system has it."""
        self._run("update reading set handed = ?, note = '' where id = ?", (millis(now), id_))

    def again(self, id_: int, why: str, at: datetime) -> None:
        """It did not take it: to be tried again then."""
        sql = "update reading set tries = tries + 1, note = ?, due_at = ? where id = ? and handed = 0"
        self._run(sql, (why[:200], millis(at), id_))

    # --- linking ----------------------------------------------------------------------------------------------------

    def linking(self, now: datetime, weeks: int = 8) -> list[Linking]:
        """How many accounts have a phone, by section; how many got their first one in each of the last weeks."""
        today = now.astimezone(INDIA)
        monday = (today - timedelta(days=today.weekday())).replace(hour=0, minute=0, second=0, microsecond=0)
        starts = [monday - timedelta(weeks=back) for back in range(weeks - 1, -1, -1)]
        sql = """select c.section, coalesce(s.name_deva, ''), coalesce(s.name_latin, c.section), count(*), count(k.account),
                 coalesce(sum(k.confirmed), 0)
                 from consumer c left join section s on s.code = c.section
                 left join (select account, max(confirmed) as confirmed from link group by account) k on k.account = c.account
                 group by c.section, s.name_deva, s.name_latin order by c.section"""
        sections = [Linking(code, Name(deva, latin), accounts, linked, int(confirmed), {day.date(): 0 for day in starts})
                    for code, deva, latin, accounts, linked, confirmed in self._rows(sql)]  # fmt: skip
        by_code = {one.section: one for one in sections}
        sql = """select c.section, k.first from consumer c
                 join (select account, min(linked_at) as first from link group by account) k on k.account = c.account
                 where k.first >= ?"""
        for code, first in self._rows(sql, (millis(starts[0]),)):
            day = moment(first).astimezone(INDIA).date()
            by_code[code].weeks[day - timedelta(days=day.weekday())] += 1
        return sections
