"""The queries of reminders and notices: who is to be written to, and how far each campaign is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from gateway.store.sql import CAMPAIGN, DISPUTES, LANES, Database, millis, moment

#: due: a few days before the due day; overdue: after it; notice: before supply may be cut for dues.
CampaignKind = Literal["due", "overdue", "notice"]
State = Literal["running", "paused", "stopped", "done"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Whom a campaign is for: empty section and category mean any, `at_least` is in paise."""

    kind: CampaignKind
    section: str = ""
    category: str = ""
    at_least: int = 0


@dataclass(frozen=True, slots=True)
class Debt:
    """An account with something to pay; `why` says why it is not written to, if so."""

    account: str
    amount: int
    due: date
    why: str


@dataclass(frozen=True, slots=True)
class Listener:
    """A phone of an account as a campaign sees it."""

    phone: str
    confirmed: bool
    linked_at: datetime
    accounts: int
    muted: bool


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign and how far it is: rows by state."""

    id: int
    selection: Selection
    state: State
    filled: bool
    made: datetime
    who: str
    waiting: int
    sent: int
    cleared: int


class Campaigns:
    """Belongs inside `with store.write():` where it writes."""

    def __init__(self, database: Database) -> None:
        self._rows, self._rows_in, self._run, self._many = database.rows, database.rows_in, database.run, database.many

    # --- who --------------------------------------------------------------------------------------------------------

    def debts(self, selection: Selection, after: str, today: date, soon: date, since: datetime, limit: int) -> list[Debt]:
        """The next postpaid accounts with an unpaid latest bill, in order; `soon` is the last due day of a reminder, `since`
        the moment from which the same kind of message is not repeated."""
        when, days = ("b.due between ? and ?", [today, soon]) if selection.kind == "due" else ("b.due < ?", [today])
        disputes = ", ".join(f"'{service}'" for service in DISPUTES)
        sql = f"""select c.account, b.amount, b.due,
                  case when exists (select 1 from payment p where p.account = c.account and p.paid_on >= b.issued) then 'paid'
                       when exists (select 1 from request r where r.account = c.account and r.open = 1
                                    and r.service in ({disputes})) then 'complaint'
                       when exists (select 1 from campaign_row o where o.account = c.account and o.kind = ?
                                    and (o.state = 'waiting' or (o.state = 'sent' and o.at > ?))) then 'told'
                       when not exists (select 1 from link k where k.account = c.account) then 'no phone' else '' end
                  from consumer c join bill b on b.account = c.account
                      and b.month = (select max(month) from bill l where l.account = c.account)
                  where c.account > ? and c.balance is null and b.amount > 0 and b.amount >= ? and {when}
                      and (c.section = ? or ? = '') and (c.category = ? or ? = '')
                  order by c.account limit ?"""
        values = [selection.kind, millis(since), after, selection.at_least, *(day.isoformat() for day in days),
                  selection.section, selection.section, selection.category, selection.category, limit]  # fmt: skip
        return [Debt(account, amount, date.fromisoformat(due), why) for account, amount, due, why in self._rows(sql, values)]

    def listeners(self, accounts: Sequence[str]) -> dict[str, list[Listener]]:
        """The phones of each account."""
        sql = """select k.account, k.phone, k.confirmed, k.linked_at, (select count(*) from link o where o.phone = k.phone),
                 coalesce(v.muted, 0)
                 from link k left join conversation v on v.phone = k.phone where k.account in (?*) order by k.linked_at"""
        found: dict[str, list[Listener]] = {account: [] for account in accounts}
        for account, phone, confirmed, linked_at, count, muted in self._rows_in(sql, accounts) if accounts else ():
            found[account].append(Listener(phone, bool(confirmed), moment(linked_at), count, bool(muted)))
        return found

    # --- a campaign -------------------------------------------------------------------------------------------------

    def add(self, selection: Selection, who: str, now: datetime) -> int:
        """A new campaign, running."""
        sql = """insert into campaign (kind, section, category, at_least, state, made, who)
                 values (?, ?, ?, ?, 'running', ?, ?) returning id"""
        values = (selection.kind, selection.section, selection.category, selection.at_least, millis(now), who)
        return int(self._rows(sql, values)[0][0])

    def move(self, id_: int, before: Sequence[State], after: State) -> bool:
        """From one of some states to another; False if it was in none of them."""
        marks = ", ".join("?" * len(before))
        return self._run(f"update campaign set state = ? where id = ? and state in ({marks})", (after, id_, *before)) > 0

    def take_back(self, id_: int) -> int:
        """What is in the outbox and has not gone out waits in the campaign again; how many messages. What may have gone out is
        not tried again."""
        sql = """select o.id, o.unsure, r.account, r.phone from campaign_row r
                 join outbox o on o.phone = r.phone and o.inbound = ? || r.account and o.created = r.at
                 where r.campaign = ? and r.state = 'sent' and o.state in ('waiting', 'stopped')"""
        taken_back = 0
        for message, unsure, account, phone in self._rows(sql, (CAMPAIGN, id_)):
            if unsure:
                self._run("update outbox set state = 'unknown' where id = ? and state in ('waiting', 'stopped')", (message,))
            elif self._run("delete from outbox where id = ? and state in ('waiting', 'stopped')", (message,)):
                sql = "update campaign_row set state = 'waiting' where campaign = ? and account = ? and phone = ?"
                taken_back += self._run(sql, (id_, account, phone))
        return taken_back

    def drop_waiting(self, id_: int, now: datetime) -> int:
        """What has not gone out of a stopped campaign."""
        sql = "update campaign_row set state = 'stopped', at = ? where campaign = ? and state = 'waiting'"
        return self._run(sql, (millis(now), id_))

    def all(self) -> list[Campaign]:
        """All of them, the newest first."""
        sql = """select c.id, c.kind, c.section, c.category, c.at_least, c.state, c.filled, c.made, c.who,
                 sum(case when r.state = 'waiting' then 1 else 0 end), sum(case when r.state = 'sent' then 1 else 0 end),
                 sum(case when r.state in ('cleared', 'stopped') then 1 else 0 end)
                 from campaign c left join campaign_row r on r.campaign = c.id
                 group by c.id, c.kind, c.section, c.category, c.at_least, c.state, c.filled, c.made, c.who order by c.id desc"""
        return [
            Campaign(id_, Selection(kind, section, category, int(least)), state, bool(filled), moment(made), who,
                     int(waiting or 0), int(sent or 0), int(cleared or 0))
            for id_, kind, section, category, least, state, filled, made, who, waiting, sent, cleared in self._rows(sql)
        ]  # fmt: skip

    # --- filling and sending ----------------------------------------------------------------------------------------

    def next_to_fill(self) -> tuple[int, Selection, str] | None:
        """The oldest running campaign whose rows are not all there: its id, selection, and the account it has reached."""
        sql = """select id, kind, section, category, at_least, reached from campaign
                 where state = 'running' and filled = 0 order by id limit 1"""
        rows = self._rows(sql)
        if not rows:
            return None
        id_, kind, section, category, least, reached = rows[0]
        return id_, Selection(kind, section, category, int(least)), reached

    def fill(self, id_: int, kind: str, rows: Sequence[tuple[str, str]], before: str, reached: str, now: datetime) -> None:
        """Add accounts with their phones and remember how far that was; nothing if another worker was there first."""
        sql = "update campaign set reached = ? where id = ? and reached = ? and state = 'running' and filled = 0"
        if self._run(sql, (reached, id_, before)):
            sql = "insert into campaign_row (campaign, account, phone, kind, state, at) values (?, ?, ?, ?, 'waiting', ?)"
            self._many(sql, [(id_, account, phone, kind, millis(now)) for account, phone in rows])

    def filled(self, id_: int) -> None:
        """All rows are there."""
        self._run("update campaign set filled = 1 where id = ?", (id_,))

    def waiting(self, limit: int) -> list[tuple[int, CampaignKind, str, str]]:
        """The next rows of running campaigns: campaign, kind, account, phone."""
        sql = """select r.campaign, r.kind, r.account, r.phone from campaign_row r join campaign c on c.id = r.campaign
                 where r.state = 'waiting' and c.state = 'running' order by r.campaign, r.account, r.phone limit ?"""
        return [tuple(row) for row in self._rows(sql, (limit,))]

    def take(self, campaign: int, account: str, phone: str, now: datetime) -> bool:
        """Take a row to send it; False if another worker has, or it was cleared."""
        sql = "update campaign_row set state = 'sent', at = ? where campaign = ? and account = ? and phone = ? and state = 'waiting'"
        return self._run(sql, (millis(now), campaign, account, phone)) > 0

    def clear(self, campaign: int, account: str, phone: str) -> None:
        """A row that was taken does not hold any more: nothing was sent."""
        sql = "update campaign_row set state = 'cleared' where campaign = ? and account = ? and phone = ?"
        self._run(sql, (campaign, account, phone))

    def finish(self) -> None:
        """Campaigns of which nothing waits any more are done."""
        self._run(
            """update campaign set state = 'done' where state = 'running' and filled = 1 and not exists
               (select 1 from campaign_row r where r.campaign = campaign.id and r.state = 'waiting')"""
        )

    def bulk_waiting(self, most: int) -> int:
        """How many bulk messages wait in the outbox, counted up to `most`."""
        sql = "select count(*) from (select 1 from outbox where state = 'waiting' and lane = ? limit ?) as w"
        return int(self._rows(sql, (LANES.index("bulk"), most))[0][0])
