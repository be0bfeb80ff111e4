"""`gateway templates export` and `import`: the sheet for the operators' DLT portals, and the ids that come back.

The ids are kept in a CSV file beside the settings (GATEWAY_DLT_TEMPLATES), because they belong to the company's registration
as the header does, and every machine needs the same ones before it sends anything.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from gateway.settings import BadSetting, Settings
from messages import Voice
from messages.dlt import COLUMNS, Approval, Registry, approvals, sheet

#: What is kept of a returned sheet.
KEPT = ("template_key", "language", "template_id", "content_typed")


def open_registry(settings: Settings, voice: Voice) -> Registry:
    """The registry with the ids that have come back. Raises BadSetting with one line."""
    path = Path(settings.dlt_templates)
    try:
        kept = approvals(_rows(path)) if path.exists() else []
    except ValueError as error:
        raise BadSetting(f"GATEWAY_DLT_TEMPLATES: {path}: {error}") from None
    return Registry(voice.catalogues, profile=settings.dlt_profile, header=settings.dlt_header, approvals=kept)


def export_sheet(settings: Settings, file: Path) -> str:
    """Write every pushed text in every language, with typed and older variables, as one sheet; what was done, in a line."""
    voice = Voice(settings.house())
    registry = open_registry(settings, voice)
    _write(file, COLUMNS, sheet(registry, voice.catalogues))
    waiting = sum(not template.id for template in registry.templates.values())
    return f"{file}: {len(registry.templates)} templates, {waiting} of them without an id"


def import_sheet(settings: Settings, file: Path) -> list[str]:
    """Take the ids from a returned sheet; what is not in it keeps the id it has. What was done, in lines."""
    voice = Voice(settings.house())
    before = open_registry(settings, voice)
    try:
        came = approvals(_rows(file))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    if unknown := [f"{a.key}/{a.lang}" for a in came if (a.key, a.lang) not in before.templates]:
        raise ValueError(f"{file}: there are no such texts: {', '.join(unknown)}; nothing was taken")
    had = [Approval(t.key, t.lang, t.id, t.typed) for t in before.templates.values() if t.id]
    merged = {(a.key, a.lang): a for a in (*had, *came)}
    rows = (dict(zip(KEPT, (a.key, a.lang, a.id, a.wording), strict=True)) for a in merged.values())
    _write(Path(settings.dlt_templates), KEPT, rows)
    after = open_registry(settings, voice)
    missing = sum(not template.id for template in after.templates.values())
    changed = [
        f"{key}/{lang}: the catalogue differs from what is registered; it is refused until they agree"
        for key, lang in after.stale
    ]
    return [f"{len(came)} ids taken into {settings.dlt_templates}; {missing} texts still without", *changed]


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """A sheet's rows; a byte order mark and semicolons, which spreadsheets write, are understood."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ValueError("there is no such file") from None
    except UnicodeDecodeError:
        raise ValueError("the sheet is not in UTF-8: save it as `CSV UTF-8`") from None
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    try:
        yield from csv.DictReader(text.splitlines(keepends=True), delimiter=delimiter)
    except csv.Error as error:
        raise ValueError(f"this is no such sheet: {error}") from None


def _write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    """Write a sheet whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    with new.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    os.replace(new, path)
