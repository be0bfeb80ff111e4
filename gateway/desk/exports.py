"""Lists to take away as CSV or XLSX: of the person's own sections, with a reason that is kept, safe in a spreadsheet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import BinaryIO

from starlette.responses import Response, StreamingResponse

from gateway.desk.ask import Ask
from gateway.export import LISTINGS, export, may_export, utc

#: The endings of a file, and what a browser is told of each.
MEDIA = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
#: The spans a list can cover, in days; 0 is all that is kept.
SPANS = (31, 92, 366, 0)
SHORTEST_REASON, LONGEST_REASON = 5, 200
CHUNK = 1 << 16

#: One list is written at a time: the desk answers others meanwhile (`gateway export` writes any beside it).
_writing = Lock()


def exports(ask: Ask) -> Response:
    """What can be taken away."""
    return _exports(ask)


def _exports(ask: Ask, status: int = 200, why: str = "") -> Response:
    kinds = [kind for kind in LISTINGS if may_export(ask.staff, kind)]
    return ask.desk.page(ask, "exports.html", status, kinds=kinds, media=MEDIA, spans=SPANS, longest=LONGEST_REASON, why=why)


def take(ask: Ask) -> Response:
    """Write the list and hand it over; nothing of it stays on the server."""
    kind, ending, days, reason = ask.typed("kind"), ask.typed("ending"), ask.typed("days"), ask.typed("reason")
    spans = {str(span): span for span in SPANS}
    if kind not in LISTINGS or not may_export(ask.staff, kind) or ending not in MEDIA or days not in spans:
        return _exports(ask, 422, "export_what")
    if not SHORTEST_REASON <= len(reason) <= LONGEST_REASON or not re.search(r"\w", reason):
        return _exports(ask, 422, "export_reason")
    if not _writing.acquire(blocking=False):
        return _exports(ask, 503, "export_busy")
    try:
        now = ask.desk.clock()
        since = utc(datetime.fromordinal((now - timedelta(days=spans[days])).toordinal())) if spans[days] else None
        with TemporaryDirectory() as folder:
            path = Path(folder, f"{kind}-{now:%Y-%m-%d}.{ending}")
            export(ask.desk.gateway.store, kind, path, since, by=ask.staff, now=now, full=bool(ask.typed("full")), reason=reason)
            file = path.open("rb")  # read to its end after the folder, and with it the file's name, is gone
    finally:
        _writing.release()
    headers = {"content-disposition": f'attachment; filename="{path.name}"'}
    return StreamingResponse(_chunks(file), headers=headers, media_type=MEDIA[ending])


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK):
            yield chunk
