"""Kills processes at random while phones talk, and compares what is left with a town where nothing was killed.

The processes are the real ones (`gateway web`, `gateway worker`), over a real file or a real PostgreSQL, whose processes are
killed too; the carrier is the emulator, which fails, hangs, and times out after it has taken a message. Phones bring a hop again until it is acknowledged, and now and then twice, at
the same moment, or long afterwards. Beside it the same conversations are played once without any of that: answers, requests,
conversations and messages must come out the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode

import psycopg

from gateway.app import Gateway, assemble
from gateway.check import check
from gateway.hop import now_utc
from gateway.records import Inbound
from gateway.settings import load
from gateway.store import Store, open_store
from tests import town
from tests.emulators import africastalking
from tests.postgres import Server, free_port
from tests.talking import conversations

T = TypeVar("T")

SECRET = "0123456789abcdef0123456789abcdef"
#: One in so many hops is brought again at once, long afterwards, or twice at the same moment.
AGAIN, LATER, PAIR = 10, 20, 20
#: How one in ten sends goes; the others go well.
BAD_DAYS = ("slow", "hang", "late", "reset", "reset after", "garbage", "http 500", "http 502", "http 503", "code 500", "no id")
#: Seconds our side waits for the carrier; a bad day of the carrier is longer.
PATIENCE, BAD = 1.0, 3.0
#: SMS that may go out twice, a kill: never more than were in flight when a worker was killed.
DUPLICATES = 0.2
#: Phones that talk at one time.
TOGETHER = 48
#: Milliseconds within which a process has surely started.
STARTING = 10_000
#: How long a phone goes on bringing one hop.
LONGEST = 600.0
#: How often all that is kept is looked through in a run of many kills: after every kill it would take most of the time.
CHECKS = 60

Form = dict[str, str]


@dataclass(frozen=True)
class Hop:
    """One thing a phone does: the door it comes in by, and the form."""

    door: str
    form: Form
    headers: Form


@dataclass
class Findings:
    """What was done, and what was wrong with it."""

    hops: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    repeats: int = 0
    in_flight: int = 0
    duplicates: int = 0
    sent: int = 0
    never_sent: int = 0
    checks: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kills = sum(self.kills.values())
        return (
            f"{self.hops} hops and {self.repeats} repeats, {kills} kills ({dict(self.kills)}), {self.checks} checks, {self.seconds:.0f} s: "
            f"{len(self.faults)} faults; {self.sent} SMS sent, {self.duplicates} of them twice "
            f"({self.duplicates / max(kills, 1):.2f} a kill, {self.in_flight} were in flight when a worker was killed), "
            f"{self.never_sent} of unknown fate and not sent again"
        )


def environment(database: str, port: int, carrier: str) -> dict[str, str]:
    """The settings of the processes, and of the town beside them."""
    return {
        "database": database, "port": str(port), "at_username": "sandbox", "at_api_key": africastalking.API_KEY,
        "at_base_url": carrier, "webhook_secrets": json.dumps([SECRET]), "send_timeout": str(PATIENCE), "log_level": "error",
        "report_wait_seconds": "60", "equal_most": "100000", "template_a_day": "100000", "quiet_from": "00:00", "quiet_until": "00:00",
        "loop_most": "100000", "loop_equal": "100000", "hops_a_minute": "100000", "session_seconds": "86400", "sends_per_second": "200", "senders": "16",
    }  # fmt: skip


def build(store: Store, phones: Sequence[str]) -> None:
    """The small town, and one account with a transformer of its own for each phone: what one does concerns no other."""
    town.build(store)
    with store.write():
        for number, phone in enumerate(phones):
            store.database.run(
                """insert into consumer (account, name_deva, name_latin, meter, area, pin, section, feeder, transformer, category, load,
                   phases) values (?, 'सीता देवी', 'Sita Devi', ?, 'urban', '802101', 'S1', 'F1', ?, 'DS-II', 2000, 1)""",
                (f"{700000000 + number}", f"M{number}", f"X{number}"),
            )
            store.database.run("insert into link values (?, ?, 0, 'reader', 1)", (phone, f"{700000000 + number}"))


def hops_of(phone: str, seed: int, count: int) -> list[Hop]:
    """What a phone does, as the carrier brings it."""
    return [_as_brought(inbound) for inbound in islice(conversations(phone, random.Random(seed), now_utc(), sms=0.7), count)]


def _as_brought(inbound: Inbound) -> Hop:
    if inbound.channel == "ussd":
        form = {"sessionId": f"x{inbound.session}", "phoneNumber": inbound.phone, "networkCode": "99999",
                "serviceCode": "*384*1912#", "text": inbound.text}  # fmt: skip
        return Hop("ussd", form, {"at-ussd-hop-metadata": "x"} if inbound.lost else {})
    form = {"date": "2026-05-25 04:30:00", "from": inbound.phone, "to": "56161", "id": f"x{inbound.id}",
            "text": inbound.text}  # fmt: skip
    return Hop("sms", form, {})


def undisturbed(folder: Path, talks: dict[str, list[Hop]]) -> tuple[Gateway, dict[str, list[str]]]:
    """The same conversations where nothing goes wrong, and the answer to each hop."""
    gateway = assemble(load(**{**environment(f"sqlite:///{folder}/undisturbed.db", 8000, ""), "webhook_secrets": [SECRET]}))
    gateway.store.database.run("pragma synchronous = off")
    build(gateway.store, list(talks))
    doors = gateway.carriers["africastalking"].doors
    answers: dict[str, list[str]] = {phone: [] for phone in talks}
    for group in zip(*talks.values(), strict=True):
        heard = [doors[hop.door].hear(dict(parse_qsl(urlencode(hop.form), keep_blank_values=True)), hop.headers) for hop in group]
        inbounds = [one for one in heard if isinstance(one, Inbound)]
        for inbound, answer in zip(inbounds, gateway.hop.serve(inbounds), strict=True):
            page = f"{'END' if answer.ends else 'CON'} {answer.page}" if inbound.channel == "ussd" else ""
            answers[inbound.phone].append(without_numbers(page))
    return gateway, answers


def without_numbers(text: str) -> str:
    """A text without what differs from one run to the next: tickets, and how much time is left."""
    return re.sub(r"\d+", "#", text)


class Process:
    """`gateway web` or `gateway worker`, which can be killed and started again."""

    def __init__(self, command: str, folder: Path, env: dict[str, str]) -> None:
        self.command, self.folder, self.env = command, folder, env
        self.start()

    def start(self) -> None:
        self.since = round(time.time() * 1000)
        self.process = subprocess.Popen([sys.executable, "-m", "gateway", self.command], env=self.env, cwd=self.folder)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> float:
        """Ask it to end; the seconds it took."""
        began = time.monotonic()
        self.process.terminate()
        self.process.wait(30)
        return time.monotonic() - began


class Driver:
    """One run."""

    def __init__(
        self, folder: Path, *, hops: int, kills: int, phones: int = 1200, seed: int = 1, server: Server | None = None
    ) -> None:
        """With a `server` the town is on PostgreSQL, and that is killed too."""
        self.folder, self.kills, self.seed, self.server = folder, kills, seed, server
        self.chance = random.Random(seed)
        names = [f"+91556{number:07d}" for number in range(phones)]
        self.talks = {phone: hops_of(phone, seed * 1000 + n, -(-hops // phones)) for n, phone in enumerate(names)}
        self.total = sum(map(len, self.talks.values()))
        self.findings = Findings()
        self.answers: dict[str, list[str]] = {}
        self.received: Counter[str] = Counter()
        self.port = free_port()
        self.done = False
        self.reported = 0
        self.away = 0

    def run(self) -> Findings:
        began = time.monotonic()
        beside, self.expected = undisturbed(self.folder, self.talks)
        database = self.server.database("town") if self.server else f"sqlite:///{self.folder}/town.db"
        self.store = open_store(database)
        build(self.store, list(self.talks))
        with africastalking.Emulator(latency=0.03) as self.carrier:
            self.carrier.hang = BAD
            self.carrier.days = _Days(random.Random(self.seed))
            settings = environment(database, self.port, self.carrier.url)
            env = {**os.environ, **{f"GATEWAY_{name.upper()}": value for name, value in settings.items()}}
            env["PYTHONPATH"] = str(Path(__file__).parents[2])
            self.web, self.worker = Process("web", self.folder, env), Process("worker", self.folder, env)
            try:
                asyncio.run(self._talk())
            finally:
                stopped = {process.command: process.stop() for process in (self.web, self.worker)}
            self.findings.faults += [f"{name} took {took:.1f} s to stop" for name, took in stopped.items() if took > 7]
            self._compare(beside.store)
        self.findings.seconds = time.monotonic() - began
        beside.store.close()
        self.store.close()
        return self.findings

    # --- the phones -------------------------------------------------------------------------------------------------

    async def _talk(self) -> None:
        async with asyncio.TaskGroup() as group:
            killing = group.create_task(self._kill())
            group.create_task(self._report())
            async with asyncio.TaskGroup() as phones:
                most = asyncio.Semaphore(TOGETHER)
                for number, phone in enumerate(self.talks):
                    phones.create_task(self._phone(phone, random.Random(self.seed * 7919 + number), most))
            await killing
            await asyncio.to_thread(self._drain)
            self.done = True

    async def _phone(self, phone: str, chance: random.Random, most: asyncio.Semaphore) -> None:
        """One phone at a time of so many: each hop until it is acknowledged, and some of them more often."""
        async with most:
            said = [one async for one in self._hops(phone, chance)]
        self.answers[phone] = [without_numbers(answer) for _, answer in said]

    async def _hops(self, phone: str, chance: random.Random) -> AsyncIterator[tuple[Hop, str]]:
        said: list[tuple[Hop, str]] = []
        for hop in self.talks[phone]:
            if chance.randrange(PAIR):
                answer = await self._bring(hop)
            else:
                answer, other = await asyncio.gather(self._bring(hop), self._bring(hop))
                self._same(hop, answer, other, "at the same moment")
            self.findings.hops += 1
            said.append((hop, answer))
            if not chance.randrange(AGAIN):
                self._same(hop, answer, await self._bring(hop), "again")
            if not chance.randrange(LATER):
                old, before = chance.choice(said)
                self._same(old, before, await self._bring(old), "long afterwards")
            if hop.door == "sms":
                await self._read(phone)
            yield hop, answer

    async def _read(self, phone: str) -> None:
        """Wait a little for the answer to a message, as people do before they write again."""
        before, until = self.received[phone], time.monotonic() + 0.5
        while self.received[phone] == before and time.monotonic() < until:
            await asyncio.sleep(0.02)

    def _same(self, hop: Hop, answer: str, other: str, when: str) -> None:
        self.findings.repeats += 1
        if answer != other:
            self.findings.faults.append(
                f"brought {when}, {hop.door} {hop.form.get('text')!r} was answered {other!r}, not {answer!r}"
            )

    async def _bring(self, hop: Hop) -> str:
        """Bring a hop until it is acknowledged, as a carrier does."""
        until = time.monotonic() + LONGEST
        while time.monotonic() < until:
            with contextlib.suppress(OSError, EOFError, TimeoutError):
                status, body = await asyncio.wait_for(self._post(hop.door, hop.form, hop.headers), 10)
                if status == 200:
                    return body
                if status != 503:
                    raise AssertionError(f"{hop.door} was answered {status}: {body}")
            await asyncio.sleep(0.05)
        raise AssertionError(f"{hop.door} was not acknowledged within {LONGEST:.0f} s")

    async def _post(self, door: str, form: Form, headers: Form) -> tuple[int, str]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            body = urlencode(form)
            more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            writer.write(
                (f"POST /in/africastalking/{SECRET}/{door} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n{more}"
                 f"content-type: application/x-www-form-urlencoded\r\ncontent-length: {len(body)}\r\n\r\n{body}").encode()
            )  # fmt: skip
            head, _, answer = (await reader.read()).decode().partition("\r\n\r\n")
            if not head:
                raise EOFError
            length = int(re.search(r"content-length: (\d+)", head)[1])  # type: ignore[index]
            if len(answer.encode()) < length:
                raise EOFError
            busy = "retry-after:" in head
            return 503 if busy else int(head.split()[1]), answer
        finally:
            writer.close()

    async def _report(self) -> None:
        """The carrier's delivery reports, each brought until it is acknowledged."""
        told = 0
        async with asyncio.TaskGroup() as reports:
            while not self.done or told < len(self.carrier.taken):
                for taken in self.carrier.taken[told:]:
                    told += 1
                    self.received[taken.phone] += 1
                    form = {"id": taken.reference, "status": "Success", "phoneNumber": taken.phone}
                    reports.create_task(self._tell(form))
                await asyncio.sleep(0.02)

    async def _tell(self, form: Form) -> None:
        await self._bring(Hop("delivery", form, {}))
        self.reported += 1

    # --- the killing ------------------------------------------------------------------------------------------------

    async def _kill(self) -> None:
        """Kill something each time so many hops more are done."""
        for number in range(1, self.kills + 1):
            while self.findings.hops < self.total * number // (self.kills + 1):
                await asyncio.sleep(0.01)
                self._look_after()
            whom = self.chance.choice(("web", "worker", "both", *(("backend", "server") if self.server else ())))
            await asyncio.sleep(self.chance.random() * 0.1)
            if self.server and whom in ("backend", "server"):
                self.away = round(time.time() * 1000)
                await asyncio.to_thread(_kill_in if whom == "backend" else _kill_whole, self.server)
            killed = [process for process in (self.web, self.worker) if whom in (process.command, "both")]
            for process in killed:
                process.kill()
            self.findings.kills[whom] += 1
            if self.worker in killed:
                sql = "select count(*) from outbox where state = 'sending' and tried >= ?"
                self.findings.in_flight += self._told(partial(self.store.database.rows, sql, (self.worker.since,)))[0][0]
            if number % max(1, self.kills // CHECKS) == 0:
                await asyncio.to_thread(self._check)
            for process in killed:
                process.start()

    def _look_after(self) -> None:
        """Nothing ends by itself, but what was just starting when the database went away: that is started again, as a
        supervisor does."""
        for process in (self.web, self.worker):
            if process.process.poll() is not None:
                assert process.since <= self.away < process.since + STARTING, f"gateway {process.command} ended by itself"
                process.start()

    def _check(self) -> None:
        kills, began = self.findings.kills.total(), time.monotonic()
        # in a long run no worker lives long enough to see that its forerunners are dead; in the end none may be left of those
        faults = [
            fault
            for fault in self._told(partial(check, self.store, now_utc()))
            if self.done or not fault.startswith("outbox.stuck")
        ]
        print(
            f"{self.findings.hops} hops, {kills} kills, {len(faults)} faults found in {time.monotonic() - began:.1f} s",
            flush=True,
        )
        self.findings.checks += 1
        self.findings.faults += [f"after kill {kills}: {fault}" for fault in faults]
        if threading.current_thread() is not threading.main_thread():
            self.store.close()

    def _told(self, ask: Callable[[], T]) -> T:
        """What the store says, as soon as it says anything: a server that was killed recovers first."""
        until = time.monotonic() + 60
        while True:
            try:
                return ask()
            except Exception as error:
                if not self.store.database.is_trouble(error) or time.monotonic() > until:
                    raise
                time.sleep(0.1)

    # --- the end ----------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Wait until the outbox has nothing more to do: the carrier has only good days now. What is in doubt when every report
        has been brought was not taken, and need not wait for one."""
        self.carrier.days = []
        until = time.monotonic() + 300
        open_ones = "select count(*) from outbox where state in ('waiting', 'sending')"
        while (left := self._told(partial(self.store.database.rows, open_ones))[0][0]) and time.monotonic() < until:
            time.sleep(0.2)
            if self.reported == len(self.carrier.taken):
                with self.store.write():
                    self.store.database.run(HURRY)
        if left:
            self.findings.faults.append(f"{left} messages still wait in the outbox")
        self.store.close()

    def _compare(self, beside: Store) -> None:
        """What is left, beside what would be if nothing had happened."""
        faults, store = self.findings.faults, self.store
        self._check()
        for phone, expected in self.expected.items():
            for number, (page, answer) in enumerate(zip(expected, self.answers.get(phone, ()), strict=True)):
                if page != answer:
                    faults.append(
                        f"hop {number} of a phone, {self.talks[phone][number].form.get('text')!r}, was answered {answer!r}, not {page!r}"
                    )
                    break
        for what, sql in KEPT.items():
            here, there = (Counter(_lines(one.database.rows(sql))) for one in (store, beside))
            faults += [f"{what}: {count} too many of {line}" for line, count in (here - there).items()]
            faults += [f"{what}: {count} missing of {line}" for line, count in (there - here).items()]
        wanted = Counter((phone, text) for phone, text in store.database.rows("select phone, text from outbox"))
        sent = Counter((one.phone, one.text) for one in self.carrier.taken)
        self.findings.sent = sent.total()
        self.findings.duplicates = (sent - wanted).total()
        self.findings.never_sent = (wanted - sent).total()
        states = dict(store.database.rows("select state, count(*) from outbox group by state"))
        if unexpected := states.keys() - {"sent", "delivered", "unknown"}:
            faults.append(f"messages ended as {unexpected}: {states}")
        kills, most = self.findings.kills.total(), self.findings.in_flight
        if kills >= 60:  # of fewer, chance decides
            most = min(most, round(DUPLICATES * kills))
        if self.findings.duplicates > most:
            faults.append("too many SMS went out twice")


HURRY = """update outbox set due_at = 0 where state = 'waiting' and unsure > 0
           and not exists (select 1 from outbox other where other.phone = outbox.phone and other.state = 'sending')"""
#: What must be the same, whatever was killed: what, and the query.
KEPT = {
    "inbounds": "select phone, channel, session, text, screen, lang, page, ends from inbound",
    "requests": "select phone, service, account, asset, pin, state, open, details, reports from request",
    "reports": "select p.phone, r.service, r.account from report p join request r on r.ticket = p.ticket",
    "conversations": "select phone, data, guesses, muted from conversation",
    "links": "select phone, account from link",
    "messages": "select phone, template, text, delivery from outbox",
    "put aside": "select id, why from quarantine",
}


def _lines(rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    for phone, *rest in rows:
        yield f"{phone} " + without_numbers(re.sub(r'"seen":"[^"]*"', "", str(rest)))


class _Days(list[str]):
    """How the carrier's sends go, without end: mostly well."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(["ok"])
        self.chance = chance

    def __getitem__(self, _: Any) -> str:
        return "ok" if self.chance.randrange(10) else self.chance.choice(BAD_DAYS)

    def __delitem__(self, _: Any) -> None:
        """There is always another day."""


def _kill_in(server: Server) -> None:
    """Kill one of the processes that serve us, in the middle of whatever it does; the server then ends all and recovers."""
    with contextlib.suppress(psycopg.OperationalError, ProcessLookupError), psycopg.connect(server.url()) as other:
        serving = other.execute("select pid from pg_stat_activity where datname = 'town' order by random() limit 1").fetchall()
        for (pid,) in serving:
            os.kill(pid, signal.SIGKILL)
        while serving:  # until the server has noticed, and ends this connection with all others
            other.execute("select 1")
    server.wait()


def _kill_whole(server: Server) -> None:
    """End the server without a word to anybody; it recovers when it is started again."""
    server.stop("immediate")
    server.start()
