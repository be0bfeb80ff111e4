"""A run of real hops with the shim preloaded: `python -m tests.power.record DATABASE HOPS [SYNCHRONOUS]`."""

from __future__ import annotations

import ctypes
import random
import sys

from tests import town
from tests.talking import PHONES, conversations, open_gateway


def main() -> None:
    url, hops, synchronous = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    acknowledge = ctypes.CDLL(None).acknowledge
    gateway = open_gateway(url, lambda: town.BEGIN, log_level="error")
    gateway.store.database.run(f"pragma synchronous = {synchronous}")
    gateway.store.database.run("pragma wal_autocheckpoint = 200")  # so that the WAL begins anew many times
    chance = random.Random(7)
    talks = [conversations(phone, random.Random(number), town.BEGIN) for number, phone in enumerate(PHONES)]
    done = 0
    while done < hops:
        group = [next(talk) for talk in chance.sample(talks, chance.randint(1, 6))]
        gateway.hop.serve(group)
        for inbound in group:
            acknowledge(f"{inbound.phone} {inbound.id}".encode())
        done += len(group)


if __name__ == "__main__":
    main()
