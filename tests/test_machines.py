"""Several machines on one PostgreSQL: hops brought to two of them at once, and a primary whose cable is pulled.

The second test builds a small network of its own (namespaces, veth pairs, a bridge): two web hosts and two workers, a primary
and its synchronous standby. What it measures is printed: `pytest -s tests/test_machines.py`.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest

from gateway.check import check
from gateway.hop import now_utc
from gateway.records import Inbound
from gateway.store import Store, open_store
from tests import town
from tests.emulators.africastalking import API_KEY, Emulator
from tests.postgres import HASTY, Server, free_port
from tests.talking import conversations

SECRET = "0123456789abcdef0123456789abcdef"
CODE = "*384*1912#"
NETWORK, GATE = "10.77.0", "10.77.0.254"


class Machine:
    """One process of the gateway, `web` or `worker`, perhaps on a host of its own."""

    def __init__(self, what: str, database: str, *, inside: Sequence[str] = (), **more: str) -> None:
        env = {
            "GATEWAY_DATABASE": database, "GATEWAY_AT_USERNAME": "sandbox", "GATEWAY_AT_API_KEY": API_KEY,
            "GATEWAY_WEBHOOK_SECRETS": f'["{SECRET}"]', "GATEWAY_LOG_LEVEL": "error", "GATEWAY_EQUAL_MOST": "1000",
            "PYTHONPATH": str(Path(__file__).parent.parent),
        }  # fmt: skip
        self.process = subprocess.Popen(
            [*inside, sys.executable, "-m", "gateway", what],
            env={**os.environ, **env, **more},
            cwd="/",
            stderr=subprocess.DEVNULL,
        )

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)


class Line:
    """A carrier's connection to the web machines: the first that takes a hop answers it, as behind a load balancer."""

    def __init__(self, places: Sequence[tuple[str, int]]) -> None:
        self.places = list(places)
        self.open: dict[tuple[str, int], http.client.HTTPConnection] = {}

    def bring(self, inbound: Inbound, place: tuple[str, int]) -> tuple[int, str]:
        """One try: the status (0: no answer, or "try again shortly", which acknowledges nothing) and the body."""
        door, form = ("ussd", {"sessionId": inbound.session, "phoneNumber": inbound.phone, "networkCode": "99999",
                               "serviceCode": CODE, "text": inbound.text}) if inbound.channel == "ussd" else (
                      "sms", {"date": "2026-05-25 04:30:00", "from": inbound.phone, "to": "56161", "id": inbound.id,
                              "text": inbound.text})  # fmt: skip
        line = self.open.setdefault(place, http.client.HTTPConnection(*place, timeout=15))
        kind = {"content-type": "application/x-www-form-urlencoded"}
        try:
            line.request("POST", f"/in/africastalking/{SECRET}/{door}", urlencode(form), kind)
            answer = line.getresponse()
            body = answer.read().decode()
            return 0 if answer.headers["retry-after"] else answer.status, body
        except (OSError, http.client.HTTPException):
            line.close()
            return 0, ""

    def deliver(self, inbound: Inbound, until: float) -> tuple[str, tuple[str, int]] | None:
        """Bring it to one machine after the other until one says 200."""
        while time.monotonic() < until:
            self.places.append(self.places.pop(0))
            status, body = self.bring(inbound, self.places[0])
            if status == 200:
                return body, self.places[0]
            time.sleep(0.02)
        return None

    def close(self) -> None:
        for line in self.open.values():
            line.close()


def ready(places: Sequence[tuple[str, int]]) -> None:
    until = time.monotonic() + 40
    for host, port in places:
        while True:
            with contextlib.suppress(OSError), closing(http.client.HTTPConnection(host, port, timeout=2)) as line:
                line.request("GET", "/healthz")
                if line.getresponse().status == 200:
                    break
            assert time.monotonic() < until, "a web machine did not start"
            time.sleep(0.05)


def found_again(store: Store, acknowledged: Sequence[tuple[Inbound, str]]) -> None:
    """Every acknowledged hop is kept, once, with the answer that was given."""
    phones = sorted({inbound.phone for inbound, _ in acknowledged})
    sql = "select channel, phone, session, text, id, page, ends from inbound where phone in (?*)"
    kept: dict[tuple[str, ...], list[str]] = {}
    for channel, phone, session, text, id_, page, ends in store.database.rows_in(sql, phones):
        ussd = channel == "ussd"
        key = (phone, session, text) if ussd else (phone, id_.rpartition("/")[2] if "/" in id_ else id_)
        kept.setdefault(key, []).append(f"{'END' if ends else 'CON'} {page}" if ussd else "")
    for inbound, body in acknowledged:
        ussd = inbound.channel == "ussd"
        key = (inbound.phone, inbound.session, inbound.text) if ussd else (inbound.phone, inbound.id)
        assert kept.get(key) == [body if ussd else ""], (key, body)
    assert check(store, now_utc()) == []


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_a_hop_brought_to_two_machines_at_once_gets_one_answer_and_is_done_once(database: str) -> None:
    with ExitStack() as stack:
        store = stack.enter_context(closing(open_store(database)))
        town.build(store)
        places = [("127.0.0.1", free_port()) for _ in range(2)]
        for _, port in places:
            stack.callback(Machine("web", database, GATEWAY_PORT=str(port)).end)
        ready(places)
        acknowledged: list[tuple[Inbound, str]] = []
        failures: list[str] = []

        def talk(phone: str, seed: int) -> None:
            """Every hop to both machines at the same moment; both must say the same."""
            lines, hops = [Line([place]) for place in places], conversations(phone, random.Random(seed), town.BEGIN)
            for _ in range(25):
                inbound = next(hops)
                answers: list[tuple[int, str]] = [(0, ""), (0, "")]
                together = threading.Barrier(2)

                def bring(
                    number: int,
                    inbound: Inbound = inbound,
                    answers: list[tuple[int, str]] = answers,
                    together: threading.Barrier = together,
                ) -> None:
                    together.wait()
                    answers[number] = lines[number].bring(inbound, places[number])

                other = threading.Thread(target=bring, args=(1,))
                other.start()
                bring(0)
                other.join()
                if answers[0] != answers[1] or answers[0][0] != 200:
                    failures.append(f"{inbound.text}: {answers}")
                acknowledged.append((inbound, answers[0][1]))
            for line in lines:
                line.close()

        threads = [threading.Thread(target=talk, args=(phone, seed)) for seed, phone in enumerate([*town.PHONES.values()][:6])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        found_again(store, acknowledged)
        assert store.count("inbound") == len(acknowledged)


# --- a network of our own -----------------------------------------------------------------------------------------------


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextmanager
def standing_in(namespace: str) -> Iterator[None]:
    """Sockets that this thread opens belong to a namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as home, Path(f"/run/netns/{namespace}").open() as away:
        assert libc.setns(away.fileno(), 0) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert libc.setns(home.fileno(), 0) == 0


class Cables:
    """Hosts around a switch, each a network namespace; `pull` is what it says."""

    def __init__(self, stack: ExitStack, hosts: Sequence[str]) -> None:
        self.prefix = f"gw{os.getpid()}"
        for name in ("switch", *hosts):
            ip("netns", "add", self.of(name))
            stack.callback(ip, "netns", "del", self.of(name))
        switch = self.of("switch")
        ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        ip("-n", switch, "addr", "add", f"{GATE}/24", "dev", "bridge")
        ip("-n", switch, "link", "set", "bridge", "up")
        self.address = {}
        for number, name in enumerate(hosts, 11):
            ip("-n", switch, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", self.of(name))
            ip("-n", switch, "link", "set", name, "master", "bridge", "up")
            self.address[name] = f"{NETWORK}.{number}"
            ip("-n", self.of(name), "addr", "add", f"{self.address[name]}/24", "dev", "eth0")
            for link in ("eth0", "lo"):
                ip("-n", self.of(name), "link", "set", link, "up")

    def of(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    def inside(self, name: str) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.of(name))

    def pull(self, name: str) -> None:
        ip("-n", self.of("switch"), "link", "set", name, "down")


def need_namespaces() -> None:
    if shutil.which("ip") is None:
        reason = "no `ip` command: apt-get install iproute2"
        assert not os.environ.get("GATEWAY_TESTS_SKIP_NOTHING"), reason
        pytest.skip(reason)
    probe = f"gw{os.getpid()}-probe"
    tried = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"network namespaces are not allowed here (run as root): {tried.stderr.strip()}")
    ip("netns", "del", probe)


def primary_and_standby(stack: ExitStack, cables: Cables) -> tuple[Server, Server]:
    """A primary that commits nothing its standby does not have."""
    settings = {**HASTY, "autovacuum": "on", "wal_level": "replica", "max_wal_senders": "5", "hot_standby": "on"}
    primary = Server(settings, cables.inside("primary"), "*", 5432)
    stack.callback(primary.destroy)
    primary.create()
    with (primary.data / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all all {NETWORK}.0/24 trust\nhost replication all {NETWORK}.0/24 trust\n")
    primary.start()
    store = open_store(f"postgresql://postgres@/postgres?host={primary.folder}")
    town.build(store)
    store.close()
    primary.sql("alter system set synchronous_standby_names = 'standby'")  # the standby inherits this, as in life
    standby = Server(settings, cables.inside("standby"), "*", 5432)
    stack.callback(standby.destroy)
    source = f"host={cables.address['primary']} user=postgres application_name=standby"
    standby.run("pg_basebackup", "-d", source, "-D", str(standby.data), "-R", "--checkpoint=fast", "--no-sync")
    standby.start()
    primary.sql("select pg_reload_conf()")
    until = time.monotonic() + 20
    while primary.sql("select sync_state from pg_stat_replication") != [("sync",)]:
        assert time.monotonic() < until, "the standby did not follow"
        time.sleep(0.05)
    return primary, standby


def promote(standby: Server) -> None:
    """What Patroni does. A standby keeps the setting it was copied with, and would wait for a standby of its own for ever."""
    standby.sql("alter system reset synchronous_standby_names")
    standby.sql("select pg_reload_conf()")
    standby.run("pg_ctl", "-D", str(standby.data), "-w", "promote")


def test_a_primary_whose_cable_is_pulled_takes_nothing_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    need_namespaces()
    with ExitStack() as stack:
        cables = Cables(stack, ("primary", "standby", "web1", "web2", "worker1", "worker2"))
        _, standby = primary_and_standby(stack, cables)
        hosts = f"{cables.address['primary']}:5432,{cables.address['standby']}:5432"
        database = f"postgresql://postgres@{hosts}/postgres"
        carriers = []
        for name in ("worker1", "worker2"):
            with standing_in(cables.of(name)):
                carriers.append(stack.enter_context(Emulator()))
            worker = Machine("worker", database, inside=cables.inside(name), GATEWAY_AT_BASE_URL=carriers[-1].url)
            stack.callback(worker.end)
        places = [(cables.address[name], 8000) for name in ("web1", "web2")]
        for name in ("web1", "web2"):
            stack.callback(Machine("web", database, inside=cables.inside(name), GATEWAY_HOST="0.0.0.0").end)
        with standing_in(cables.of("switch")):
            ready(places)

        acknowledged: list[tuple[Inbound, str]] = []
        when: list[tuple[float, tuple[str, int]]] = []
        stop = threading.Event()

        def talk(phone: str, seed: int) -> None:
            with standing_in(cables.of("switch")), closing(Line(places)) as line:
                for inbound in conversations(phone, random.Random(seed), town.BEGIN):
                    if stop.is_set():
                        return
                    answer = line.deliver(inbound, time.monotonic() + 60)
                    if answer is None:
                        return
                    acknowledged.append((inbound, answer[0]))
                    when.append((time.monotonic(), answer[1]))

        threads = [threading.Thread(target=talk, args=(phone, seed)) for seed, phone in enumerate(town.PHONES.values())]
        for thread in threads:
            thread.start()
        time.sleep(1.5)
        before = len(acknowledged)
        cables.pull("primary")
        pulled = time.monotonic()
        promote(standby)
        back: dict[tuple[str, int], float] = {}
        while len(back) < len(places) and time.monotonic() < pulled + 40:
            time.sleep(0.05)
            for at, place in when[before:]:
                if at > pulled + 0.3 and place not in back:  # what was on its way is not service
                    back[place] = at - pulled
        time.sleep(1)
        stop.set()
        for thread in threads:
            thread.join()
        assert len(back) == len(places), "a web host did not come back"

        with closing(open_store(f"postgresql://postgres@/postgres?host={standby.folder}")) as store:
            until = time.monotonic() + 20
            waiting = "select count(*) from outbox where state in ('waiting', 'sending') and lane = 0 and attempts = 0"
            while store.database.rows(waiting) != [(0,)] and time.monotonic() < until:
                time.sleep(0.1)
            assert store.database.rows(waiting) == [(0,)], "the workers did not come back"
            found_again(store, acknowledged)
        with capsys.disabled():
            served = ", ".join(f"{seconds:.1f} s" for seconds in sorted(back.values()))
            print(f"\n{len(acknowledged)} hops acknowledged, {before} before the cable was pulled, 0 lost; back after {served}")
