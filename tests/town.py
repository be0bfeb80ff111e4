"""A small town with names for its phones: every script is played in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gateway.store import Store

#: A Monday morning in Buxar.
BEGIN = datetime(2026, 5, 25, 4, 30, tzinfo=UTC)

#: label -> phone. 5 is not a first digit of any Indian mobile: these are numbers of nobody.
PHONES = {
    "new": "+915550000001",  # unknown to us
    "one": "+915550000002",  # one account, a bill to pay
    "son": "+915550000003",  # a second phone on the same account
    "two": "+915550000004",  # two accounts: a house, a shop
    "free": "+915550000005",  # a zero bill
    "prepaid": "+915550000006",
    "average": "+915550000007",  # locked house: average bill
    "fresh": "+915550000008",  # connected last week: no bill yet
    "neighbour": "+915550000009",  # on the same transformer as `one`
    "village": "+915550000010",  # rural, transformer unknown, only the feeder
    "credit": "+915550000011",  # paid too much
    "reader": "+915550000012",  # a meter reader
    "noted": "+915550000013",  # will be noted by the reader
}

#: account, Devanagari, Latin, meter, area, pin, feeder, transformer, category, load, phases, balance
CONSUMERS = (
    ("100000001", "रमेश कुमार", "Ramesh Kumar", "SB100001", "urban", "802101", "F1", "T101", "DS-II", 2000, 1, None),
    ("100000002", "सुनीता देवी", "Sunita Devi", "SB100002", "urban", "802101", "F1", "T102", "DS-II", 1000, 1, None),
    ("200000002", "देवी वस्त्रालय", "Devi Vastralaya", "SB200002", "urban", "802101", "F2", "T201", "NDS-II", 7000, 3, None),
    ("100000003", "मो. इरफ़ान अंसारी", "Md. Irfan Ansari", "SB100003", "urban", "802101", "F1", "T101", "DS-II", 1000, 1, None),
    ("100000004", "प्रज्ञा श्रीवास्तव", "Pragya Srivastava", "SB100004", "urban", "802101", "F1", "T102", "DS-II", 3000, 1, 8550),
    ("100000005", "राजेन्द्र प्रसाद सिंह", "Rajendra Prasad Singh", "SB100005", "urban", "802101", "F2", "T201", "DS-II", 2000, 1, None),
    ("100000006", "कृष्णा यादव", "Krishna Yadav", "SB100006", "urban", "802101", "F2", "T201", "DS-II", 1000, 1, None),
    ("100000007", "शत्रुघ्न ठाकुर", "Shatrughna Thakur", "SB100007", "urban", "802101", "F1", "T101", "DS-II", 2000, 1, None),
    ("0300000008", "फूलमती देवी", "Phoolmati Devi", "SB100008", "rural", "802119", "F6", "", "DS-I", 1000, 1, None),
    ("100000009", "लक्ष्मण राम", "Lakshman Ram", "SB100009", "urban", "802101", "F2", "T202", "DS-II", 1000, 1, None),
    ("100000010", "विजय मिश्र", "Vijay Mishra", "SB100010", "urban", "802101", "F2", "T202", "DS-II", 1000, 1, None),
)  # fmt: skip

#: account, month, due, amount, current, arrears, surcharge (rupees), previous, present, basis, free
BILLS = (
    ("100000001", "2026-05-01", "2026-06-05", 1240, 1240, 0, 0, 4210, 4378, "OK", 0),
    ("100000002", "2026-05-01", "2026-06-05", 3180, 640, 2450, 90, 1200, 1331, "OK", 0),
    ("200000002", "2026-05-01", "2026-06-05", 12450, 12450, 0, 0, 88010, 89512, "OK", 0),
    ("100000003", "2026-05-01", "2026-06-05", 0, 0, 0, 0, 560, 641, "OK", 1),
    ("100000005", "2026-05-01", "2026-06-05", 910, 910, 0, 0, 7000, 7000, "LK", 0),
    ("100000007", "2026-05-01", "2026-06-05", 480, 480, 0, 0, 310, 440, "OK", 0),
    ("0300000008", "2026-05-01", "2026-06-05", 260, 260, 0, 0, 120, 250, "OK", 0),
    ("100000009", "2026-05-01", "2026-06-05", -150, 350, -500, 0, 900, 1010, "OK", 0),
    ("100000010", "2026-05-01", "2026-06-05", 700, 700, 0, 0, 40, 190, "OK", 0),
)

#: account, day, receipt, rupees
PAYMENTS = (("100000001", "2026-04-28", "R7001", 1105), ("100000003", "2026-01-10", "R7002", 220))

LINKS = (
    ("one", "100000001"), ("son", "100000001"), ("two", "100000002"), ("two", "200000002"), ("free", "100000003"),
    ("prepaid", "100000004"), ("average", "100000005"), ("fresh", "100000006"), ("neighbour", "100000007"),
    ("village", "0300000008"), ("credit", "100000009"),
)  # fmt: skip

#: The round of the reader with staff number 4471.
ROUND = ("100000001", "100000002", "200000002", "100000003", "100000005", "100000010")

FEEDERS = (
    ("F1", "चरित्रवन", "Charitravan", "802101"),
    ("F2", "नया बाजार", "Naya Bazar", "802101"),
    ("F6", "सिमरी", "Simri", "802119"),
)


def build(store: Store) -> None:
    """Fill an empty store with the town."""
    linked = round((BEGIN - timedelta(days=400)).timestamp() * 1000)
    database = store.database
    with store.write():
        database.run("insert into section values ('S1', 'बक्सर शहर', 'Buxar Town', 'urban', '', '')")
        database.run("insert into reader values ('4471', ?, '', 'Suresh Paswan', 'S1', 1)", (PHONES["reader"],))
        for seq, account in enumerate(ROUND, 1):
            database.run("insert into round values (?, '4471', ?)", (account, seq))
        for code, deva, latin, pin in FEEDERS:
            database.run("insert into feeder values (?, ?, ?)", (code, deva, latin))
            database.run("insert into feeder_pin values (?, ?)", (pin, code))
        for account, deva, latin, meter, area, pin, feeder, transformer, category, load, phases, balance in CONSUMERS:
            database.run(
                """insert into consumer (account, name_deva, name_latin, meter, area, pin, section, feeder, transformer, category,
                   load, phases, balance, balance_on) values (?, ?, ?, ?, ?, ?, 'S1', ?, ?, ?, ?, ?, ?, ?)""",
                (account, deva, latin, meter, area, pin, feeder, transformer, category, load, phases, balance,
                 "2026-05-24" if balance is not None else None),
            )  # fmt: skip
        for account, month, due, amount, current, arrears, surcharge, previous, present, basis, free in BILLS:
            rupees = [100 * value for value in (amount, current, arrears, surcharge)]
            database.run(
                "insert into bill values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (account, month, f"INV{account}", due, month, *rupees, previous, present, present - previous, basis, free),
            )
        for account, day, receipt, amount in PAYMENTS:
            database.run("insert into payment values (?, ?, ?, ?)", (account, day, receipt, amount * 100))
        for index, (label, account) in enumerate(LINKS):
            database.run("insert into link values (?, ?, ?, 'reader', 1)", (PHONES[label], account, linked + index))
