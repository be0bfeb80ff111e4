"""What people are told when the billing system brings a bill, a payment, a prepaid balance or a phone number.

Everything is written inside the transaction that keeps the thing itself: whoever has the bill has the SMS, once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from flows.records import INDIA, Args, Bill, Payment, Text
from gateway.intake import Hooks
from gateway.pen import Pen
from gateway.settings import Settings
from gateway.store import Store
from gateway.store.bills import Bills, Linked

#: A payment older than this is history that came with a first import, and no news.
NEWS = timedelta(days=10)


def kind_of(bill: Bill) -> str:
    """Which text a bill is told with."""
    zero = "free" if bill.free else "nothing"
    told = zero if bill.amount <= 0 else "" if bill.basis == "OK" else "average"
    return "_".join(filter(None, ("bill", "demo" if bill.is_demonstration else "", told)))


class Billing:
    """Tells the linked phones, each in its language."""

    def __init__(self, store: Store, pen: Pen, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._store, self._pen, self._clock = store, pen, clock
        self._bills = Bills(store.database)
        self._answer_life = timedelta(days=settings.answer_days)
        self._silence = timedelta(days=settings.confirm_days)
        self._levels = settings.low_balance_percent

    @property
    def hooks(self) -> Hooks:
        """What `gateway.intake` calls for each thing that is new."""
        return Hooks(self.bill_arrived, self.payment_arrived, self.phone_noted, self.balance_moved)

    def bill_arrived(self, account: str, bill: Bill, is_new: bool) -> None:
        """The latest bill of an account, new or changed, while it can still be paid."""
        if bill.due < self._clock().astimezone(INDIA).date() or self._bills.has_later_bill(account, bill.month):
            return
        kind = kind_of(bill)
        args: Args = {"account": account, "amount": bill.amount, "due": bill.due, "units": bill.units}
        for linked in self._trusted(account):
            several = linked.accounts > 1 and kind in ("bill", "bill_average")
            self._tell(Text("sms", f"{kind}_several" if several else kind, args), linked.phone, account, bill.number)

    def payment_arrived(self, account: str, payment: Payment) -> None:
        """A payment: thanked for, and no reminder about the account goes out any more."""
        now = self._clock()
        self._store.clear_campaigns(account, now)
        if payment.on < (now - NEWS).astimezone(INDIA).date():
            return
        text = Text("sms", "paid", {"amount": payment.amount, "receipt": payment.receipt})
        for linked in self._trusted(account):
            self._pen.write(text, linked.phone, now=now)

    def balance_moved(self, account: str, before: int | None, after: int) -> None:
        """A prepaid balance that fell to one of the levels since it was last known."""
        recharge = self._bills.last_payment(account)
        if before is None or not recharge:
            return
        levels = [level for level in self._levels if after * 100 <= level * recharge < before * 100]
        if levels:
            text = Text("sms", "balance_low" if min(levels) > 0 else "balance_out", {"account": account, "balance": after})
            for linked in self._trusted(account):
                self._tell(text, linked.phone, account, "")

    def phone_noted(self, phone: str, account: str) -> None:
        """A phone that a meter reader noted: told so, before it is told any amount."""
        if not self._bills.noted_on(phone, account):
            now = self._clock()
            self._pen.write(Text("sms", "noted", {"account": account}), phone, now=now)
            self._store.tell(phone, "noted", account, phone, now, now + self._answer_life)

    def _trusted(self, account: str) -> Sequence[Linked]:
        """The linked phones that may hear an amount. A noted one hears first that it was noted; silence then confirms it."""
        trusted = []
        for linked in self._bills.linked(account):
            noted = None if linked.confirmed else self._bills.noted_on(linked.phone, account)
            if linked.confirmed:
                trusted.append(linked)
            elif noted is None:
                self.phone_noted(linked.phone, account)
            elif self._clock() - noted >= self._silence:
                self._store.confirm(linked.phone, account, self._clock())
                trusted.append(linked)
        return trusted

    def _tell(self, text: Text, phone: str, account: str, ref: str) -> None:
        """Write to a phone, which may answer for some time."""
        now = self._clock()
        self._pen.write(text, phone, now=now)
        self._store.tell(phone, "bill", account, ref, now, now + self._answer_life)
