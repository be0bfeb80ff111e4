"""Files of rows, in and out: CSV in whatever encoding and delimiter it came, XLSX, and cells that no spreadsheet will run.

Reading is a stream: a file of 2,000,000 rows takes no more memory than one of 2,000.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol, TextIO

from openpyxl import Workbook, load_workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

DELIMITERS = ",;\t|"
NO_HEADER = "the file has no header row: the first row must name the columns"
#: A workbook that unpacks to more is refused before it fills the memory.
MOST_UNPACKED = 1 << 30
#: What a spreadsheet takes for a formula (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_BLOCK = 1 << 20


class BadFile(ValueError):
    """A file that cannot be used as a whole: one line that says why and how to mend it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number as a spreadsheet shows it, its cells as text, and whether it has more cells than the header."""

    number: int
    cells: list[str]
    too_long: bool = False


@dataclass(slots=True)
class Sheet:
    """A file opened for reading: the header, the rows (once), how far the reading is, and what a person should know.

    `digest` is the SHA-256 of the file. `done` and `whole` are bytes (CSV) or rows (XLSX; 0 where the file does not tell).
    `numeric` are the columns in which a workbook held numbers, not text.
    """

    digest: str
    header: list[str]
    rows: Iterator[Row]
    whole: int
    done: Callable[[], int]
    notices: list[str] = field(default_factory=list)
    numeric: set[int] = field(default_factory=set)


@contextmanager
def open_sheet(path: Path, known: Callable[[str], bool]) -> Iterator[Sheet]:
    """Open a CSV or XLSX file. `known` says whether a column name means anything, which settles the delimiter.

    Raises BadFile, while opening or later while reading, and OSError.
    """
    digest, encoding = _scan(path)
    with path.open("rb") as file:
        if encoding == "xlsx":
            yield _workbook(file, digest)
        else:
            yield _csv(file, digest, encoding, known, path.stat().st_size)


# --- CSV --------------------------------------------------------------------------------------------------------------


def _scan(path: Path) -> tuple[str, str]:
    """The SHA-256 of a file and its encoding, in one pass. `xlsx` stands for a workbook."""
    digest, utf8, is_utf8, head = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")(), True, b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            head = head or block[:4096]
            digest.update(block)
            if is_utf8:
                is_utf8 = _decodes(utf8, block)
    if not head.strip():
        raise BadFile("the file is empty")
    return digest.hexdigest(), _encoding(head, is_utf8 and _decodes(utf8, b"", last=True))


def _decodes(decoder: codecs.IncrementalDecoder, block: bytes, last: bool = False) -> bool:
    try:
        decoder.decode(block, last)
    except UnicodeDecodeError:
        return False
    return True


def _encoding(head: bytes, is_utf8: bool) -> str:
    if head.startswith(b"PK\x03\x04"):
        return "xlsx"
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        raise BadFile("this is an old Excel file (.xls), or one with a password: save it as .xlsx without one, or as CSV")
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in head:
        return "utf-16-le" if head[1::2].count(0) >= head[::2].count(0) else "utf-16-be"
    return "utf-8-sig" if is_utf8 else "cp1252"


def _csv(file: io.BufferedReader, digest: str, encoding: str, known: Callable[[str], bool], size: int) -> Sheet:
    lines = io.TextIOWrapper(file, encoding=encoding, newline="")
    rows = _csv_rows(lines, _delimiter(lines, known), encoding)
    first = next(rows, None)
    if first is None:
        raise BadFile(NO_HEADER)
    sheet = Sheet(digest, first.cells, _fitted(rows, len(first.cells)), size, lambda: lines.buffer.tell())
    if encoding == "cp1252":
        sheet.notices.append("the file is not UTF-8 and was read as Windows-1252: look at a few names before you go on")
    return sheet


def _delimiter(lines: TextIO, known: Callable[[str], bool]) -> str:
    """The delimiter under which the header has most known columns, then most columns."""
    first = ""
    try:
        while not first.strip():
            first = lines.readline(_BLOCK)
            if not first:
                raise BadFile(NO_HEADER)
    except UnicodeError:
        raise BadFile("the file is neither UTF-8 nor UTF-16 nor Windows-1252: save it as CSV UTF-8") from None
    lines.seek(0)

    def fitness(delimiter: str) -> tuple[int, int]:
        cells = next(csv.reader([first], delimiter=delimiter))
        return sum(map(known, cells)), len(cells)

    try:
        return max(DELIMITERS, key=fitness)
    except csv.Error as error:
        raise BadFile(f"the header row: {error}: is this a table?") from None


def _csv_rows(lines: TextIO, delimiter: str, encoding: str) -> Iterator[Row]:
    reader, number = csv.reader(lines, delimiter=delimiter, strict=True), 0
    try:
        for number, cells in enumerate(reader, 1):
            if any(cells):
                yield Row(number, [_unguarded(cell) for cell in cells])
    except UnicodeError:
        raise BadFile(f"after row {number}: bytes that are not {encoding}: save the file as CSV UTF-8") from None
    except csv.Error as error:
        raise BadFile(f"after row {number}: {error}: is a quotation mark not closed?") from None


def _unguarded(cell: str) -> str:
    """A cell without the apostrophe that `guarded` put before it."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in _FORMULA else cell


def _fitted(rows: Iterable[Row], width: int) -> Iterator[Row]:
    """Every row as wide as the header."""
    for row in rows:
        cells = row.cells
        too_long = any(cell.strip() for cell in cells[width:])
        if len(cells) != width and not too_long:
            cells = [*cells[:width], *[""] * (width - len(cells))]
        yield Row(row.number, cells, too_long)


# --- XLSX -------------------------------------------------------------------------------------------------------------


def _workbook(file: io.BufferedReader, digest: str) -> Sheet:
    """The first sheet of a workbook."""
    try:
        with zipfile.ZipFile(file) as packed:
            if sum(part.file_size for part in packed.infolist()) > MOST_UNPACKED:
                raise BadFile("the workbook unpacks to more than 1 GB: save it as CSV UTF-8")
        file.seek(0)
        sheet = load_workbook(file, read_only=True, data_only=True).worksheets[0]
        whole = sheet.max_row or 0
        sheet.reset_dimensions()
    except BadFile:
        raise
    except Exception:  # whatever the library trips over in a file that is damaged, has a password, or holds only charts
        raise BadFile(
            "this is not a workbook that can be read: save its rows again as .xlsx, without password and charts, or as CSV UTF-8"
        ) from None
    numeric: set[int] = set()
    progress = [0]
    rows = _workbook_rows(sheet.iter_rows(), numeric, progress)
    header = next(rows, None)
    if header is None:
        raise BadFile("the first sheet of the workbook is empty")
    while header.cells and not header.cells[-1]:
        header.cells.pop()
    numeric.clear()
    return Sheet(digest, header.cells, _fitted(rows, len(header.cells)), whole, lambda: progress[0], numeric=numeric)


def _workbook_rows(rows: Iterator[Any], numeric: set[int], progress: list[int]) -> Iterator[Row]:
    number = 0
    try:
        for number, row in enumerate(rows, 1):
            progress[0] = number
            cells = [_cell_text(cell.value, getattr(cell, "number_format", "")) for cell in row]
            if any(cells):
                numeric.update(index for index, cell in enumerate(row) if isinstance(cell.value, int | float))
                yield Row(number, cells)
    except Exception:  # as above: most of a workbook is read row by row
        raise BadFile(f"after row {number}: the workbook is damaged: save it again, or as CSV UTF-8") from None


def _cell_text(value: object, number_format: str) -> str:
    """A cell as it would be typed. A number shown with leading zeros (format 000000000) gets them back."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int() | float() | Decimal():
            plain = format(round(Decimal(str(value)), 6).normalize(), "f") if Decimal(str(value)).is_finite() else str(value)
            return plain.zfill(len(number_format)) if number_format and set(number_format) == {"0"} else plain
        case datetime() | date():
            return value.isoformat()[:10]
        case time():
            return value.isoformat()
    return str(value)


# --- writing ----------------------------------------------------------------------------------------------------------


def guarded(cell: str) -> str:
    """A cell for CSV that a spreadsheet shows and never runs: an apostrophe before what it would take for a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA) and not _NUMBER.fullmatch(cell) else cell


class Writer(Protocol):
    """Takes rows one by one; `close` finishes the file."""

    def row(self, cells: Sequence[str]) -> None: ...
    def close(self) -> None: ...


class CsvWriter:
    """CSV in UTF-8 with a mark, so that Excel shows Devanagari; only its owner may read the file."""

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        path.chmod(0o600)
        self._file = path.open("w", encoding="utf-8-sig", newline="")
        self._writer = csv.writer(self._file)

    def row(self, cells: Sequence[str]) -> None:
        """Write one row."""
        self._writer.writerow([guarded(cell) for cell in cells])

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


class XlsxWriter:
    """A workbook in which every cell is text, so that nothing is run and no leading zero is lost."""

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        path.chmod(0o600)
        self._path, self._book = path, Workbook(write_only=True)
        self._sheet = self._book.create_sheet()

    def row(self, cells: Sequence[str]) -> None:
        """Write one row; characters that a workbook cannot hold are dropped."""
        made = []
        for text in cells:
            cell = WriteOnlyCell(self._sheet, value=ILLEGAL_CHARACTERS_RE.sub("", text))
            cell.data_type = "s"
            made.append(cell)
        self._sheet.append(made)

    def close(self) -> None:
        """Finish the file."""
        self._book.save(self._path)


def writer(path: Path) -> Writer:
    """A writer by the file's ending. Raises ValueError with one line."""
    match path.suffix.lower():
        case ".csv":
            return CsvWriter(path)
        case ".xlsx":
            return XlsxWriter(path)
    raise ValueError(f"{path.name}: the file's name must end in .csv or .xlsx")
