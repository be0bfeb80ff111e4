"""`gateway templates export` and `import`: the sheet for the operators' DLT portals, and the ids that come back.

The ids are kept in a CSV file beside the settings (GATEWAY_DLT_TEMPLATES), because they belong to the company's registration
as the header does, and every machine needs the same ones before it sends anything.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import click

from gateway.settings import BadSetting, Settings, load
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


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """A sheet's rows; a byte order mark and semicolons, which spreadsheets write, are understood."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("the sheet is not in UTF-8: save it as `CSV UTF-8`") from None
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    yield from csv.DictReader(text.splitlines(keepends=True), delimiter=delimiter)


def _write(path: Path, columns: tuple[str, ...], rows: Iterable[Mapping[str, str]]) -> int:
    """Write a sheet whole or not at all; the number of its rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    count = 0
    with new.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for row in rows:
            writer.writerow(row)
            count += 1
    os.replace(new, path)
    return count


@click.group()
def templates() -> None:
    """The registered wording of every pushed text (India's DLT): a sheet for the portals, and the ids that come back."""


@templates.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def export_sheet(file: Path) -> None:
    """Write every pushed text in every language, with typed and older variables, as one sheet."""
    settings = load()
    voice = Voice(settings.house())
    registry = open_registry(settings, voice)
    count = _write(file, COLUMNS, sheet(registry, voice.catalogues))
    waiting = sum(not template.id for template in registry.templates.values())
    click.echo(f"{file}: {count} templates, {waiting} of them without an id")


@templates.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
def import_sheet(file: Path) -> None:
    """Take the ids from a returned sheet; what is not in it keeps the id it has."""
    settings = load()
    voice = Voice(settings.house())
    before = open_registry(settings, voice)
    try:
        came = approvals(_rows(file))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    unknown = [f"{a.key}/{a.lang}" for a in came if (a.key, a.lang) not in before.templates]
    if unknown:
        raise ValueError(f"{file}: there are no such texts: {', '.join(unknown)}; nothing was taken")
    merged = {**{(t.key, t.lang): Approval(t.key, t.lang, t.id, t.typed) for t in before.templates.values() if t.id},
              **{(a.key, a.lang): a for a in came}}  # fmt: skip
    _write(Path(settings.dlt_templates), KEPT, ({"template_key": a.key, "language": a.lang, "template_id": a.id,
                                                 "content_typed": a.wording} for a in merged.values()))  # fmt: skip
    after = open_registry(settings, voice)
    click.echo(f"{len(came)} ids taken into {settings.dlt_templates}; {sum(not t.id for t in after.templates.values())} missing")
    for template in after.stale:
        click.echo(f"{template.key}/{template.lang}: the registered wording is not the catalogue's; its text is refused until they agree")
