"""GALAT: that was not me, or not mine. Undoes or halts what this phone was told about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flows.flow import Flow, is_open
from flows.records import Answered, Args, Cancel, Option, Unlink
from flows.screens import confirm, decide, end, goto, menu


@dataclass(frozen=True, slots=True)
class Told:
    """Something this phone may object to: a request (`ref` is its ticket), another phone's link (`ref` is that phone), or its
    own link (`own`, `ref` is the account), and since when it has known. Of a bill (`billed`) it may be the reading that is
    wrong."""

    kind: str
    ref: str
    account: str
    at: datetime
    context: int = 0
    billed: bool = False

    @property
    def key(self) -> str:
        """What tells it from the others: one phone may have been linked to two accounts."""
        return f"{self.ref}/{self.account}"


class Objection(Flow):
    """A link ends, a disconnection is cancelled, a name transfer waits until staff have looked."""

    name = "objection"
    intents = {"WRONG": "start"}
    aside = True
    screens = {
        "start": decide(),
        "pick": menu("none", items="told", field="told"),
        "sure": confirm(),
        "which": menu("not_mine", "reading"),
        "to_reading": goto("bill", "wrong"),
        "act": decide(),
        "unlinked": end(),
        "unlinked_own": end(),
        "cancelled": end(),
        "held": end(),
        "stays": end(),
        "nothing": end(),
    }
    rules = (
        # on screen  answer   go to        only if             and then
        ("start",    "enter", "nothing",   "has_nothing"),
        ("start",    "enter", "pick",      "has_several"),
        ("start",    "enter", "sure",      "is_own_request",   "keep"),
        ("start",    "enter", "act",       "says_not_mine"),
        ("start",    "enter", "which",     "is_about_a_bill",  "keep"),
        ("start",    "enter", "act"),
        ("pick",     "told",  "which",     "is_about_a_bill"),
        ("pick",     "told",  "act"),
        ("pick",     "none",  "nothing"),
        ("sure",     "yes",   "act"),
        ("sure",     "no",    "stays"),
        ("which",    "not_mine", "act"),
        ("which",    "reading",  "to_reading", "",              "keep_account"),
        ("act",      "enter", "nothing",   "is_gone"),
        ("act",      "enter", "unlinked_own", "is_own",        "unlink_own"),
        ("act",      "enter", "unlinked",  "is_link",          "unlink"),
        ("act",      "enter", "cancelled", "is_disconnection", "cancel"),
        ("act",      "enter", "held",      "",                 "hold"),
    )  # fmt: skip

    @property
    def told(self) -> tuple[Told, ...]:
        """What this phone was told about, and its own requests of the kinds that can be called back; its own links last."""
        since = self.facts.now - self.facts.policy.objection
        open_tickets = {r.ticket for r in self.facts.requests if is_open(r)}
        told: dict[str, Told] = {}
        for c in self.facts.contexts:
            if c.kind == "link" or (c.kind in ("disconnection", "name_transfer") and c.ref in open_tickets):
                one = Told(c.kind, c.ref, c.account, c.at, c.id)
                told.setdefault(one.key, one)
        for r in self.facts.requests:
            if r.phone == self.conversation.phone and r.service == "disconnection" and is_open(r) and r.filed >= since:
                one = Told(r.service, r.ticket, r.account, r.filed)
                told.setdefault(one.key, one)
        linked = {c.account for c in self.facts.linked}
        for c in self.facts.contexts:
            if c.kind in ("bill", "noted") and c.account in linked:
                billed = c.kind == "bill" and c.account not in self.facts.noted
                one = Told("own", c.account, c.account, c.at, billed=billed)
                told.setdefault(one.key, one)
        return tuple(told.values())

    @property
    def the_one(self) -> Told | None:
        """The one objected to: chosen, named by its ticket, the only one, or the only one beside its own links if that was
        what it heard of last: a bill of weeks ago is not in the way of somebody's last chance."""
        told = self.told
        if "told" in self.answers:
            return next((t for t in told if t.key == self.answers["told"]), None)
        if named := [t for t in told if t.ref == self.said.ticket]:
            return named[0]
        others = [t for t in told if t.kind != "own"]
        if len(others) == 1 and others[0].at == max(t.at for t in told):
            return others[0]
        return told[0] if len(told) == 1 else None

    def has_nothing(self) -> bool:
        """Nothing to object to."""
        return not self.told

    def has_several(self) -> bool:
        """More than one, and none named."""
        return self.the_one is None

    def is_own_request(self) -> bool:
        """This phone asked for it itself: it may have meant something else."""
        told = self.the_one
        return told is not None and told.kind == "disconnection" and not told.context

    def says_not_mine(self) -> bool:
        """The words say that it is somebody else's."""
        return "not_mine" in self.said.answers

    def is_about_a_bill(self) -> bool:
        """A bill came last: who says that it is wrong may mean the bill, or that it is somebody else's."""
        return self.the_one is not None and self.the_one.billed

    def keep(self) -> None:
        """What is asked about."""
        told = self.the_one
        assert told is not None
        self.answers["told"] = told.key

    def keep_account(self) -> None:
        """The bill's account goes along to where its reading is complained of."""
        told = self.the_one
        assert told is not None
        self.answers["account"] = told.account

    def is_gone(self) -> bool:
        """Settled in the meantime."""
        return self.the_one is None

    def is_own(self) -> bool:
        """We wrote to this phone about a connection that is not theirs."""
        return self.the_one is not None and self.the_one.kind == "own"

    def unlink_own(self) -> None:
        """This phone hears no more of that account."""
        told = self._settled()
        self.effects.append(Unlink(told.account, self.conversation.phone))

    def is_link(self) -> bool:
        """A phone was linked to the account."""
        return self.the_one is not None and self.the_one.kind == "link"

    def is_disconnection(self) -> bool:
        """The connection is to be cut."""
        return self.the_one is not None and self.the_one.kind == "disconnection"

    def unlink(self) -> None:
        """The new link ends."""
        told = self._settled()
        self.effects.append(Unlink(told.account, told.ref))

    def cancel(self) -> None:
        """The request ends."""
        self.effects.append(Cancel(self._settled().ref))

    def hold(self) -> None:
        """The request waits until staff have looked."""
        self.effects.append(Cancel(self._settled().ref, held=True))

    def _settled(self) -> Told:
        told = self.the_one
        assert told is not None
        self.kept = told
        if told.context:
            self.effects.append(Answered(told.context))
        return told

    def pick_items(self) -> tuple[Option, ...]:
        """Each by kind and account."""
        return tuple(
            Option("told", t.key, {"told": "told_bill" if t.billed else f"told_{t.kind}", "account": t.account})
            for t in self.told
        )

    def sure_args(self) -> Args:
        """The request that is to be cancelled."""
        told = self.the_one
        assert told is not None
        return {"account": told.account, "ticket": told.ref}

    stays_args = sure_args

    def which_args(self) -> Args:
        """Which account."""
        told = self.the_one
        assert told is not None
        return {"account": told.account}

    def unlinked_args(self) -> Args:
        """Which account."""
        return {"account": self.kept.account}

    unlinked_own_args = unlinked_args

    def cancelled_args(self) -> Args:
        """Which account and request."""
        return {"account": self.kept.account, "ticket": self.kept.ref}

    held_args = cancelled_args
