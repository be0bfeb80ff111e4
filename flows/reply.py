"""The answer to a message we sent: a bill SMS is answered with 1 to 4, a noted phone confirms with 1, GALAT objects."""

from __future__ import annotations

from flows.flow import Flow
from flows.records import Answered, Args, Claim, Confirm, Context, Facts, Option, Said, Unlink
from flows.screens import decide, end, goto, menu

#: Kind of message -> what each number answers. GALAT is a keyword of its own: see objection.py.
NUMBERS = {
    "bill": {"1": "detail", "2": "pay", "3": "wrong", "4": "paid"},
    "noted": {"1": "mine"},
}
#: What the words of an answer stand for.
WORDS = {
    "bill": {"detail": "detail", "already_paid": "paid", "pay": "pay", "reading": "wrong"},
    "noted": {"yes": "mine", "no": "not_mine"},
}


def meaning(context: Context, said: Said) -> str:
    """What this message may be answered with that was said; empty if nothing."""
    if said.number:
        return NUMBERS[context.kind].get(said.number.lstrip("0"), "")
    return next((meant for word, meant in WORDS[context.kind].items() if word in said.answers), "")


def answerable(facts: Facts, said: Said) -> tuple[Context, ...]:
    """The messages that what was said may answer: the newest about each account that is linked to this phone."""
    linked = {consumer.account for consumer in facts.linked}
    newest: dict[str, Context] = {}
    for context in facts.contexts:
        if context.kind in NUMBERS and context.account in linked:
            newest.setdefault(context.account, context)
    return tuple(context for context in newest.values() if meaning(context, said))


class Reply(Flow):
    """One message open: it is that one. Several: which connection is meant is asked. Lapsed: said, with the help line."""

    name = "reply"
    screens = {
        "start": decide(),
        "lapsed": end(),
        "pick": menu("none", items="account", field="account"),
        "nothing": end(),
        "act": decide(),
        "to_detail": goto("bill"),
        "to_pay": goto("bill", "pay"),
        "to_wrong": goto("bill", "wrong"),
        "unlinked_own": end(),
        "paid_seen": end(),
        "paid_unseen": end(),
    }
    rules = (
        # on screen  answer     go to          only if        and then
        ("start",    "enter",   "lapsed",      "is_lapsed"),
        ("start",    "enter",   "pick",       "has_several", "keep"),
        ("start",    "enter",   "act",         "",            "keep"),
        ("pick",    "account", "act"),
        ("pick",    "none",    "nothing"),
        ("act",      "enter",   "nothing",     "is_gone"),
        ("act",      "enter",   "unlinked_own", "is_not_mine", "unlink"),
        ("act",      "enter",   "to_detail",   "is_mine",     "confirm"),
        ("act",      "enter",   "to_detail",   "is_detail",   "confirm"),
        ("act",      "enter",   "to_pay",      "is_pay",      "confirm"),
        ("act",      "enter",   "to_wrong",    "is_wrong",    "confirm"),
        ("act",      "enter",   "paid_seen",   "is_seen",     "confirm claim"),
        ("act",      "enter",   "paid_unseen", "",            "confirm claim"),
    )  # fmt: skip

    def is_lapsed(self) -> bool:
        """Nothing that we sent can be answered with this any more."""
        return not answerable(self.facts, self.said)

    def has_several(self) -> bool:
        """More than one connection may be meant."""
        return len(answerable(self.facts, self.said)) > 1

    def keep(self) -> None:
        """What was meant, and by it which account if there is only one."""
        contexts = answerable(self.facts, self.said)
        self.answers["meant"] = meaning(contexts[0], self.said)
        if len(contexts) == 1:
            self.answers["account"] = contexts[0].account

    @property
    def context(self) -> Context | None:
        """The message that is answered."""
        account = self.answers.get("account")
        return next((c for c in self.facts.contexts if c.kind in NUMBERS and c.account == account), None)

    def is_gone(self) -> bool:
        """The message lapsed or the phone was unlinked while it was asked which one is meant."""
        return self.context is None or self.consumer is None or not self.is_linked()

    def is_mine(self) -> bool:
        """A noted phone says that it is right."""
        return self.answers["meant"] == "mine"

    def is_not_mine(self) -> bool:
        """A noted phone says that it is not."""
        return self.answers["meant"] == "not_mine"

    def unlink(self) -> None:
        """This phone hears no more of that account."""
        context = self.context
        assert context is not None
        self.effects += [Unlink(context.account, self.conversation.phone), Answered(context.id)]

    def unlinked_own_args(self) -> Args:
        """Which account."""
        return {"account": self.the_consumer.account}

    def is_detail(self) -> bool:
        """The bill in detail is asked for."""
        return self.answers["meant"] == "detail"

    def is_pay(self) -> bool:
        """How to pay is asked."""
        return self.answers["meant"] == "pay"

    def is_wrong(self) -> bool:
        """The reading is wrong."""
        return self.answers["meant"] == "wrong"

    def is_seen(self) -> bool:
        """Whether a payment since the bill is known."""
        bill, payment = self.the_consumer.bill, self.the_consumer.payment
        return payment is not None and (bill is None or payment.on >= bill.month)

    def confirm(self) -> None:
        """Whoever answers about a bill has the right number: a noted link is confirmed."""
        context = self.context
        assert context is not None
        self.effects.append(Confirm(context.account))
        if context.kind == "noted":
            self.effects.append(Answered(context.id))

    def claim(self) -> None:
        """No more reminders about this account for now."""
        self.effects.append(Claim(self.the_consumer.account))

    def pick_items(self) -> tuple[Option, ...]:
        """The connections we wrote about."""
        accounts = {c.account for c in self.facts.contexts if c.kind in NUMBERS}
        return tuple(
            Option("account", c.account, {"account": c.account, "name": c.name})
            for c in self.facts.linked
            if c.account in accounts
        )

    def paid_seen_args(self) -> Args:
        """The payment that is known."""
        payment = self.the_consumer.payment
        assert payment is not None
        return {"amount": payment.amount, "on": payment.on, "receipt": payment.receipt}
