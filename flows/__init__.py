"""What happens next: the flows, in the order of the main menu.

To add a service: write one file with a `Flow` (meter.py is a good one to read first), name it in SERVICES, and write its
texts in messages/*.toml. The menu, the drawings and the tests follow; red tests name what is missing.
"""

from __future__ import annotations

from flows.bill import BillFlow
from flows.details import Details
from flows.disconnection import Disconnection
from flows.flow import Flow
from flows.help import Help
from flows.menu import Menu
from flows.meter import Meter
from flows.mute import Mute
from flows.name_transfer import NameTransfer
from flows.new_connection import NewConnection
from flows.noted import Noted
from flows.objection import Objection
from flows.own_reading import OwnReading
from flows.reader import ReaderFlow
from flows.register import Register
from flows.reopen import Reopening
from flows.reply import Reply
from flows.track import Track
from flows.transformer import Transformer
from flows.welcome import Welcome

#: What people come for, in main-menu order.
SERVICES: tuple[type[Flow], ...] = (NewConnection, NameTransfer, Meter, Disconnection, Transformer, BillFlow, Track)
#: Every flow by name.
ALL: tuple[type[Flow], ...] = (
    Menu, Welcome, *SERVICES, OwnReading, ReaderFlow, Register, Noted, Details, Reply, Objection, Reopening, Help, Mute,
)  # fmt: skip
FLOWS: dict[str, type[Flow]] = {flow.name: flow for flow in ALL}
#: Keyword intent -> flow and screen it enters.
INTENTS: dict[str, tuple[str, str]] = {
    intent: (flow.name, screen) for flow in FLOWS.values() for intent, screen in flow.intents.items()
}
