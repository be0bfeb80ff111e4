"""The DEMONSTRATION tariff: in the demo it stands for the company's billing system and makes a bill of a reading.

The product itself computes no money. Every bill made here has a number that begins with DEMO, and says on every phone that
it is a demonstration.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from importlib import resources
from typing import Any

from flows.records import DEMONSTRATION, INDIA, Bill, Consumer
from gateway.fields import Value, kinds
from gateway.intake import TAKING_IN, Hooks, apply
from gateway.store import Store
from gateway.store.readings import Taken


@lru_cache(maxsize=1)
def tariff() -> dict[str, Any]:
    """The rates, with where they are from."""
    return tomllib.loads(resources.files("gateway").joinpath("tariff.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Charges:
    """One month's charges in paise."""

    energy: int
    fixed: int
    duty: int
    free: bool

    @property
    def total(self) -> int:
        """In whole rupees, as the company bills."""
        return (self.energy + self.fixed + self.duty + 50) // 100 * 100


def charges(units: int, category: str, load: int) -> Charges:
    """What so many units cost. A domestic connection within the free units pays nothing."""
    rates = tariff()["rates"]
    rate = rates.get(category, rates["DS-II"])
    free = bool(rate["free"]) and units <= tariff()["free_units"]
    if free:
        return Charges(0, 0, 0, True)
    billed = units - (tariff()["free_units"] if rate["free"] else 0)
    energy = billed * rate["unit"]
    fixed = rate["fixed"] * (max(1, -(-load // 1000)) if rate["per_kw"] else 1)
    return Charges(energy, fixed, energy * tariff()["duty_percent"] // 100, False)


class Demonstration:
    """Takes readings as a billing system would, and brings the bill the way every bill comes."""

    def __init__(self, store: Store, hooks: Hooks, clock: Callable[[], datetime]) -> None:
        self._store, self._hooks, self._clock = store, hooks, clock

    def take(self, taken: Taken) -> str:
        """Make the bill. An account that is gone has none."""
        with self._store.write(TAKING_IN):
            consumer = self._store.consumer(taken.account)
            if consumer is None or consumer.balance is not None:
                return ""
            category = self._store.database.rows("select category from consumer where account = ?", (taken.account,))[0][0]
            bill = make_bill(taken, consumer, category, self._paid_since(consumer))
            now = self._clock()
            row: list[Value] = [
                bill.account, bill.month.isoformat(), bill.number, bill.due.isoformat(),
                now.astimezone(INDIA).date().isoformat(), bill.amount, bill.current, bill.arrears, bill.surcharge,
                bill.previous, bill.present, bill.units, bill.basis, int(bill.free),
            ]  # fmt: skip
            apply(self._store, kinds()["bills"], [row], self._hooks, now)
        return ""

    def _paid_since(self, consumer: Consumer) -> int:
        """What was paid since the last bill, in paise."""
        if consumer.bill is None:
            return 0
        sql = """select coalesce(sum(p.amount), 0) from payment p join bill b on b.account = p.account and b.month = ?
                 where p.account = ? and p.paid_on >= b.issued"""
        return int(self._store.database.rows(sql, (consumer.bill.month.isoformat(), consumer.account))[0][0])


def make_bill(taken: Taken, consumer: Consumer, category: str, paid: int) -> Bill:
    """The bill of a reading: on the average of the last bill where nothing could be read or the reading is smaller.

    A second reading of the same month replaces the bill of that month. There is no late charge in it: its rate is not known
    for certain (utility.md section 4).
    """
    last = consumer.bill
    same_month = last is not None and last.month == taken.month
    previous = (last.previous if same_month else last.present) if last else 0
    arrears = (last.arrears if same_month else last.amount) - paid if last else 0
    readable = taken.status == "OK" and taken.value is not None and taken.value >= previous
    usual = last.units if last else 0
    present = taken.value if readable and taken.value is not None else previous
    units = present - previous if readable else usual
    made = charges(units, category, consumer.load)
    return Bill(
        account=taken.account,
        number=f"{DEMONSTRATION}{taken.id:08d}",
        month=taken.month,
        due=taken.at.astimezone(INDIA).date() + timedelta(days=tariff()["days_to_pay"]),
        amount=made.total + arrears,
        current=made.total,
        arrears=arrears,
        surcharge=0,
        previous=previous,
        present=present,
        units=units,
        basis=taken.status if taken.status != "OK" or readable else "MT",
        free=made.free,
    )
