"""The tables, as migrations in order: a database is brought up to date by running those it has not seen.

Plain SQL that SQLite and PostgreSQL both take. Times are whole milliseconds since 1970 UTC, money whole paise, booleans 0/1.
What a hop reads and writes begins its key with the phone; `{clustered}` keeps such a row in the key's own tree, so that a hop
touches one page a table.
"""

from __future__ import annotations

MIGRATIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "0001 the town",
        (
            """create table section (code text primary key, name_deva text not null, name_latin text not null,
               area text not null, centre_deva text not null default '', centre_latin text not null default '')""",
            "create table feeder (code text primary key, name_deva text not null, name_latin text not null)",
            "create table feeder_pin (pin text not null, feeder text not null, primary key (pin, feeder))",
            """create table consumer (account text primary key, name_deva text not null, name_latin text not null,
               address_deva text not null default '', address_latin text not null default '', meter text not null,
               area text not null, pin text not null, section text not null, feeder text not null, transformer text not null,
               category text not null, load bigint not null, phases integer not null default 1,
               balance bigint, balance_on text)""",
            "create index consumer_section on consumer (section)",
            """create table bill (account text not null, month text not null, number text not null, due text not null,
               issued text not null, amount bigint not null, current bigint not null, arrears bigint not null,
               surcharge bigint not null, previous bigint not null, present bigint not null, units bigint not null,
               basis text not null, free integer not null default 0, primary key (account, month))""",
            """create table payment (account text not null, paid_on text not null, receipt text not null,
               amount bigint not null, primary key (account, paid_on, receipt))""",
            """create table link (phone text not null, account text not null, linked_at bigint not null, how text not null,
               confirmed integer not null default 0, primary key (phone, account))""",
            "create index link_account on link (account)",
        ),
    ),
    (
        "0002 conversations",
        (
            """create table conversation (phone text primary key, data text not null, seen bigint not null,
               guesses integer not null default 0, guess_day text not null default '', muted integer not null default 0,
               told_until bigint not null default 0) {clustered}""",
            """create table inbound (id text not null, phone text not null, channel text not null, carrier text not null,
               session text not null, at bigint not null, text text not null, screen text not null, lang text not null,
               page text not null, ends integer not null, micros integer not null, primary key (phone, id)) {clustered}""",
            """create table quarantine (id text primary key, carrier text not null, door text not null, at bigint not null,
               why text not null, body text not null)""",
        ),
    ),
    (
        "0003 requests",
        (
            """create table request (ticket text primary key, service text not null, state text not null, open integer not null,
               account text not null, asset text not null, pin text not null, phone text not null, filed bigint not null,
               since bigint not null, due bigint, priority integer not null, unverified integer not null,
               reports integer not null default 1, details text not null, inbound text not null unique)""",
            "create unique index request_account on request (account, service) where open = 1 and account <> '' and asset = ''",
            "create unique index request_asset on request (asset) where open = 1 and asset <> ''",
            "create index request_phone on request (phone)",
            """create table report (ticket text not null, phone text not null, at bigint not null, details text not null,
               primary key (ticket, phone))""",
            """create table event (ticket text not null, at bigint not null, what text not null, who text not null,
               note text not null default '')""",
            "create index event_ticket on event (ticket, at)",
        ),
    ),
    (
        "0004 messages",
        (
            """create table outbox (id {serial}, phone text not null, text text not null, encoding text not null,
               parts integer not null, template text not null, carrier text not null, lane integer not null,
               delivery text not null, state text not null, due_at bigint not null, created bigint not null,
               attempts integer not null default 0, worker text not null default '', leased_until bigint not null default 0,
               reference text, note text not null default '', settled bigint not null default 0, inbound text not null default '')""",
            "create index outbox_due on outbox (carrier, lane, due_at) where state = 'waiting'",
            "create index outbox_sending on outbox (leased_until) where state = 'sending'",
            "create index outbox_reference on outbox (reference) where reference is not null",
            "create index outbox_phone on outbox (phone, id)",
            """create table delivery (carrier text not null, reference text not null, status text not null, state text not null,
               reason text not null, at bigint not null, primary key (carrier, reference, status))""",
            """create table told (id {serial}, phone text not null, kind text not null, account text not null, ref text not null,
               at bigint not null, until bigint not null, answered bigint not null default 0)""",
            "create index told_phone on told (phone, until)",
            "create table phone_event (phone text not null, at bigint not null, what text not null, note text not null)",
            "create index phone_event_phone on phone_event (phone, at)",
        ),
    ),
    (
        "0005 open requests are found by phone, account and asset",
        (
            "drop index request_phone",
            "create index request_phone on request (phone) where open = 1",
            "create index request_open_account on request (account) where open = 1",
            "create index request_open_asset on request (asset) where open = 1",
        ),
    ),
    (
        "0006 how a message leaves",
        (
            "alter table outbox add column expires bigint",
            "alter table outbox add column information integer not null default 0",
            "alter table outbox add column waits integer not null default 0",
        ),
    ),
    (
        "0010 intake",
        (
            """create table intake (id {serial}, kind text not null, digest text not null, name text not null, state text not null,
               worker text not null, began bigint not null, seen bigint not null, done bigint not null default 0,
               dry integer not null default 0, total bigint not null default 0, added bigint not null default 0,
               changed bigint not null default 0, same bigint not null default 0, left_out bigint not null default 0)""",
            "create index intake_digest on intake (kind, digest)",
            """create table intake_row (intake bigint not null, key text not null, row bigint not null, data text not null,
               primary key (intake, key))""",
            """create table api_answer (client text not null, key text not null, digest text not null, status integer not null,
               body text not null, at bigint not null, primary key (client, key))""",
            "create index api_answer_at on api_answer (at)",
            "create table access (at bigint not null, who text not null, what text not null, reason text not null)",
        ),
    ),
    (
        "0020 sending",
        (
            "alter table outbox add column unsure integer not null default 0",
            "drop index outbox_sending",
            "create index outbox_sending on outbox (carrier, id) where state = 'sending'",
            "create index outbox_unsure on outbox (phone) where unsure > 0",
            "alter table delivery add column phone text not null default ''",
            "create index delivery_phone on delivery (phone, at)",
            "create table alarm (kind text not null, name text not null, at bigint not null, why text not null, primary key (kind, name))",
            """create table spent (hour bigint not null, carrier text not null, messages bigint not null, parts bigint not null,
               primary key (hour, carrier))""",
            "create table pace (feeder text primary key, due_at bigint not null)",
            "create table inbox_mark (carrier text primary key, last_id text not null, at bigint not null)",
        ),
    ),
)
