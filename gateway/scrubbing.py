"""What an operator's refusal asks for: the scrubbing code in a delivery report decides (telecom-india.md section 3)."""

from __future__ import annotations

import re
from datetime import datetime

import structlog

from gateway.records import masked
from gateway.store import Store
from gateway.store.queue import Joined, Queue
from messages.dlt import Registry, fault_of

log = structlog.get_logger()

#: A scrubbing code as receipts carry it.
CODE = re.compile(r"\berr:\s*(6[0-7][0-9])\b")


def heed(store: Store, registry: Registry, told: Joined, now: datetime) -> None:
    """Act on a failed report that names a scrubbing code: our set-up is at fault, this text, or what the phone has asked its
    operator for. Any other failure is the message's own."""
    found = CODE.search(told.report.reason) if told.report.state == "failed" else None
    if found is None:
        return
    code = found[1]
    fault = fault_of(code)
    queue = Queue(store)
    phone, text, template = queue.refused(told.message)
    why = f"the operator refused it with {code}"
    with store.write([phone]):
        if fault == "config":
            queue.raise_alarm("template", template, now, f"{why}: entity, header or template is not in order there")
        elif fault == "content":
            queue.remark(told.message, f"{why}: {registry.check(text, *template.split('/')) or 'it is as we have it registered'}")
        elif fault == "consumer":
            store.mute(phone, True, now, f"{told.report.carrier} {code}")
            queue.remark(told.message, f"{why}: the phone wants no such messages")
    log.error("dlt.refused", message=told.message, phone=masked(phone), template=template, code=code, fault=fault)
