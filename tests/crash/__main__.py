"""`python -m tests.crash [--kills 60] [--hops 12000]`; `make soak` runs a thousand kills in 200,000 hops."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from gateway import logs
from tests.crash.driver import Driver


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--hops", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logs.set_up("error")
    with tempfile.TemporaryDirectory() as folder:
        findings = Driver(Path(folder), hops=options.hops, kills=options.kills, seed=options.seed).run()
    print(findings)
    for fault in findings.faults[:40]:
        print(fault)
    sys.exit(bool(findings.faults))


if __name__ == "__main__":
    main()
