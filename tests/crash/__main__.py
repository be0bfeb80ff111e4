"""`python -m tests.crash [--kills 60] [--hops 12000] [--postgres]`; `make soak` runs a thousand kills in 200,000 hops."""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from gateway import logs
from tests.crash.driver import Driver
from tests.postgres import LASTING, Server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--hops", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--phones", type=int, default=1200)
    parser.add_argument("--postgres", action="store_true", help="the town is on PostgreSQL, which is killed too")
    options = parser.parse_args()
    logs.set_up("error")
    with ExitStack() as stack:
        folder, server = Path(stack.enter_context(tempfile.TemporaryDirectory())), None
        if options.postgres:
            server = Server(LASTING)
            stack.callback(server.destroy)
            server.create()
            server.start()
        findings = Driver(
            folder, hops=options.hops, kills=options.kills, phones=options.phones, seed=options.seed, server=server
        ).run()
    print(findings)
    for fault in findings.faults[:40]:
        print(fault)
    sys.exit(bool(findings.faults))


if __name__ == "__main__":
    main()
