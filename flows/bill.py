"""My bill: amount, due date, arrears, readings, last payment, how to pay, and a reading that is wrong."""

from __future__ import annotations

from flows import account
from flows.account import AboutAccount
from flows.records import Args
from flows.screens import account as account_number
from flows.screens import ask, ask_reading, decide, end, goto, reading, tell

#: What strangers may see only if the company shows them all of a bill.
PRIVATE = frozenset({"none_yet", "show", "average", "free", "nothing_due", "prepaid", "reading", "payment", "payment_none"})


class BillFlow(AboutAccount):
    """All of it to a linked phone; to another one as much as the company allows."""

    name = "bill"
    intents = {"BILL": "start", "PAY": "pay", "READING": "wrong_start"}
    screens = {
        "start": decide(),
        "unlinked": ask(account_number, "link", field="account"),
        "to_link": goto("register"),
        "pick": account.SCREENS["pick"],
        "ca": ask(account_number, field="account"),
        "check": decide(),
        "refused": end(),
        "amount": end(),
        "amount_none": end(),
        "amount_prepaid": end(),
        "none_yet": tell("pay"),
        "show": tell("reading", "payment", "pay"),
        "average": tell("reading", "payment", "pay"),
        "free": tell("reading", "payment"),
        "nothing_due": tell("reading", "payment"),
        "prepaid": tell("pay", "payment"),
        "reading": tell("wrong", "own"),
        "to_own": goto("own_reading", "mine"),
        "last": decide(),
        "payment": tell("pay"),
        "payment_none": tell("pay"),
        "pay": tell(),
        "wrong_start": decide(),
        "wrong": decide(),
        "wrong_reading": ask_reading(reading, deliberate=True),
        "done": end(),
        "already": end(),
    }
    rules = (
        # on screen      answer          go to            only if            and then
        ("start",        "enter",        "check",         "is_named"),
        ("start",        "enter",        "check",         "is_linked"),
        ("start",        "enter",        "pick",          "has_several"),
        ("start",        "enter",        "unlinked"),
        ("unlinked",     "given",        "check"),
        ("unlinked",     "link",         "to_link",       "",                "drop_account"),
        ("pick",         "account",      "check"),
        ("pick",         "other",        "ca",            "",                "drop_account"),
        ("ca",           "given",        "check"),
        ("check",        "enter",        "refused",       "is_refused"),
        ("check",        "enter",        "amount_prepaid", "is_brief_prepaid"),
        ("check",        "enter",        "amount_none",   "is_brief_none"),
        ("check",        "enter",        "amount",        "is_brief"),
        ("check",        "enter",        "prepaid",       "is_prepaid"),
        ("check",        "enter",        "none_yet",      "has_no_bill"),
        ("check",        "enter",        "free",          "is_free"),
        ("check",        "enter",        "nothing_due",   "owes_nothing"),
        ("check",        "enter",        "average",       "is_average"),
        ("check",        "enter",        "show"),
        ("show",         "reading",      "reading"),
        ("show",         "payment",      "last"),
        ("show",         "pay",          "pay"),
        ("average",      "reading",      "reading"),
        ("average",      "payment",      "last"),
        ("average",      "pay",          "pay"),
        ("free",         "reading",      "reading"),
        ("free",         "payment",      "last"),
        ("nothing_due",  "reading",      "reading"),
        ("nothing_due",  "payment",      "last"),
        ("prepaid",      "pay",          "pay"),
        ("prepaid",      "payment",      "last"),
        ("none_yet",     "pay",          "pay"),
        ("reading",      "wrong",        "wrong"),
        ("reading",      "own",          "to_own"),
        ("last",         "enter",        "payment",       "has_paid"),
        ("last",         "enter",        "payment_none"),
        ("payment",      "pay",          "pay"),
        ("payment_none", "pay",          "pay"),
        ("wrong_start",  "enter",        "wrong",         "is_linked"),
        ("wrong_start",  "enter",        "start"),
        ("wrong",        "enter",        "already",       "is_already_open"),
        ("wrong",        "enter",        "wrong_reading"),
        ("wrong_reading", "given",       "already",       "is_already_open"),
        ("wrong_reading", "given",       "done",          "",                "file"),
    )  # fmt: skip

    def is_private(self) -> bool:
        """Where to pay is no secret."""
        return self.state != "pay"

    def is_barred(self) -> bool:
        """The link ended while the bill was looked at: what it shows now is what a stranger sees."""
        return self.state in PRIVATE and not self.is_linked() and self.facts.policy.bill_to_unlinked != "full"

    # --- who may see what ------------------------------------------------------------------------------------------

    def is_refused(self) -> bool:
        """Not this phone's account, and the company shows nothing to others."""
        return not self.is_linked() and self.facts.policy.bill_to_unlinked == "none"

    def is_brief(self) -> bool:
        """Not this phone's account: the amount and a masked name only."""
        return not self.is_linked() and self.facts.policy.bill_to_unlinked == "amount_only"

    def is_brief_none(self) -> bool:
        """The same, with nothing to pay."""
        return self.is_brief() and self.the_consumer.dues == 0

    def is_brief_prepaid(self) -> bool:
        """The same, for a prepaid meter, whose balance is nobody else's business."""
        return self.is_brief() and self.is_prepaid()

    # --- what kind of bill it is -----------------------------------------------------------------------------------

    def is_prepaid(self) -> bool:
        """No monthly bill but a balance."""
        return self.the_consumer.balance is not None

    def has_no_bill(self) -> bool:
        """The first bill has not come yet."""
        return self.the_consumer.bill is None

    def is_free(self) -> bool:
        """A zero bill by the free units."""
        bill = self.the_consumer.bill
        return bill is not None and bill.free and bill.amount <= 0

    def owes_nothing(self) -> bool:
        """Paid up, or in credit."""
        return self.the_consumer.dues == 0

    def is_average(self) -> bool:
        """No reading was taken: the bill is a provisional one on the average."""
        bill = self.the_consumer.bill
        return bill is not None and bill.basis != "OK"

    def has_paid(self) -> bool:
        """Whether a payment is known."""
        return self.the_consumer.payment is not None

    def is_already_open(self) -> bool:
        """Whether the reading is being looked into, if only since a moment ago, by another phone."""
        return self.open_request("reading") is not None

    def file(self) -> None:
        """File the complaint about the reading."""
        self.file_request("reading", self.the_consumer)

    def marks(self) -> tuple[str, ...]:
        """A bill of the demonstration tariff says so wherever it is shown."""
        bill = self.consumer.bill if self.consumer else None
        shown = self.state in ("show", "average", "free", "amount", "reading", "nothing_due")
        return ("demonstration",) if shown and bill and bill.is_demonstration else ()

    # --- values ----------------------------------------------------------------------------------------------------

    def show_args(self) -> Args:
        """The bill's main values."""
        consumer, bill = self.the_consumer, self.the_consumer.bill
        assert bill is not None
        return {"account": consumer.account, "name": consumer.name, "month": bill.month, "amount": bill.amount,
                "due": bill.due, "arrears": bill.arrears + bill.surcharge, "units": bill.units,
                "basis": f"basis_{bill.basis}", "free_units": self.facts.policy.free_units}  # fmt: skip

    average_args = free_args = amount_args = show_args

    def account_args(self) -> Args:
        """The account and its masked name."""
        return {"account": self.the_consumer.account, "name": self.the_consumer.name}

    nothing_due_args = none_yet_args = amount_none_args = amount_prepaid_args = refused_args = account_args

    def prepaid_args(self) -> Args:
        """The balance and the day it was true."""
        return {"account": self.the_consumer.account, "balance": self.the_consumer.balance, "on": self.the_consumer.balance_on}

    def reading_args(self) -> Args:
        """Readings and units."""
        bill = self.the_consumer.bill
        assert bill is not None
        return {"previous": bill.previous, "present": bill.present, "units": bill.units}

    def payment_args(self) -> Args:
        """The last payment."""
        payment = self.the_consumer.payment
        assert payment is not None
        return {"amount": payment.amount, "on": payment.on, "receipt": payment.receipt}

    def already_args(self) -> Args:
        """The open complaint."""
        return self.request_args(self.open_request("reading"))
