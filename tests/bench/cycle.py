"""The SMS parts of a whole monthly cycle in each register: bill, payment received, reminder, notice, in the demo town.

    python -m tests.bench.cycle [--consumers 22500]

Every linked phone gets the bill of its account in the text of its kind. Who has no old dues pays and is thanked; the others
are reminded before the due day and after it, and get the notice. A prepaid balance is told twice.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from datetime import date

from flows.records import Text
from gateway.billing import kind_of
from gateway.demo import build_town
from gateway.hop import now_utc
from gateway.settings import load
from gateway.store import open_store
from messages import Limits, Voice
from messages.catalogue import LANGUAGES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--consumers", type=int, default=22_500)
    options = parser.parse_args()
    settings = load(_env_file=None)
    voice, limits, day = Voice(settings.house()), Limits("sms", parts=3), date(2026, 12, 28)
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{folder}/town.db")
        build_town(store, now_utc(), limits=settings.policy().limits, consumers=options.consumers)
        linked = store.linked([row[0] for row in store.database.rows("select distinct phone from link")])
        store.close()
    messages: Counter[str] = Counter()
    parts: Counter[tuple[str, str]] = Counter()
    began = time.perf_counter()
    for accounts, _ in linked.values():
        for one in accounts:
            texts = []
            several = "_several" if len(accounts) > 1 else ""
            if one.balance is not None:
                texts += [("balance_low", {"account": one.account, "balance": one.balance})] * 2
            elif one.bill is not None:
                bill = one.bill
                kind = kind_of(bill)
                kind += several if kind in ("bill", "bill_average") else ""
                args = {"account": one.account, "amount": bill.amount, "due": bill.due, "units": bill.units, "day": day}
                texts.append((kind, args))
                if bill.arrears > 0:
                    texts += [(f"due{several}", args), ("overdue", args), ("notice", args)]
                elif bill.amount > 0:
                    texts.append(("paid", {"amount": bill.amount, "receipt": "R12345678901"}))
            for key, values in texts:
                messages[key.removesuffix("_several")] += 1
                for lang in LANGUAGES:
                    parts[key.removesuffix("_several"), lang] += voice.say(Text("sms", key, values), lang, limits).parts
    took = time.perf_counter() - began
    print(f"{len(linked)} phones, {sum(messages.values())} messages, written in three registers in {took:.1f} s")
    print(f"{'text':14} {'messages':>9} " + " ".join(f"{lang:>8}" for lang in LANGUAGES) + "   (parts)")
    for key, count in messages.most_common():
        print(f"{key:14} {count:9} " + " ".join(f"{parts[key, lang]:8}" for lang in LANGUAGES))
    total = [sum(count for (_, of), count in parts.items() if of == lang) for lang in LANGUAGES]
    print(f"{'all':14} {sum(messages.values()):9} " + " ".join(f"{count:8}" for count in total))


if __name__ == "__main__":
    main()
