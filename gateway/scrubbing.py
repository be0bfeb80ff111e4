"""What an operator's refusal asks for: the scrubbing code in a delivery report decides (facts: telecom-india.md section 3)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

import structlog

from gateway.records import Report, masked
from gateway.store import Store
from gateway.store.queue import Queue
from messages.dlt import Registry, fault_of

log = structlog.get_logger()

#: A scrubbing code as receipts carry it.
CODE = re.compile(r"\berr:\s*(6[0-7][0-9])\b")


def heed(store: Store, registry: Registry, report: Report, about: Iterable[int], now: datetime) -> None:
    """Act on a failed report that names a scrubbing code: our set-up is at fault, this text, or what the phone has asked its
    operator for. Any other failure is the message's own."""
    found = CODE.search(report.reason) if report.state == "failed" else None
    if found is None:
        return
    code = found[1]
    fault = fault_of(code)
    queue = Queue(store)
    for id_ in about:
        phone, text, template = queue.refused(id_)
        why = f"the operator refused it with {code}"
        with store.write([phone]):
            if fault == "config":
                queue.raise_alarm("template", template, now, f"{why}: entity, header or template is not in order there")
            elif fault == "content":
                queue.remark(id_, f"{why}: {registry.check(text, *template.split('/')) or 'it is as we have it registered'}")
            elif fault == "consumer":
                store.mute(phone, True, now, f"{report.carrier} {code}")
                queue.remark(id_, f"{why}: the phone wants no such messages")
        log.error("dlt.refused", message=id_, phone=masked(phone), template=template, code=code, fault=fault)
