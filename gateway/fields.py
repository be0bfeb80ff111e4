"""What the billing system's columns mean: each field of a consumer, a bill, a payment or a phone, read from a cell or from JSON.

One table of fields per kind serves files (gateway/intake.py), the JSON API and its OpenAPI document (gateway/api.py) alike.
Column names are those of the company's bill service (utility.md section 3) and ours.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any

#: A field as kept: text, a whole number (money in paise, yes/no as 1/0), or None for "not given: leave what is kept".
Value = str | int | None
Reader = Callable[[str], Value]
Schema = Mapping[str, Any]

#: Ten thousand crore rupees, in paise: more than any bill of any company.
MOST_PAISE = 10**13
MOST_COUNT = 10**9
LONGEST_TEXT = 200
#: Cells remembered with their meaning: most columns say the same few things over and over.
REMEMBERED = 4096
#: HP x 0.746 and kVA x 0.9 (Bihar Electricity Supply Code, first amendment of 2010: utility.md section 6, S30).
WATTS = {"": 1000, "KW": 1000, "W": 1, "HP": 746, "KVA": 900}

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DIGITS = str.maketrans("०१२३४५६७८९", "0123456789")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b\ufeff\ud800-\udfff]")
_PLAIN_NUMBER = re.compile(r"([+-]?)(?:(\d+)|(\d{1,3}(?:,\d{2,3})*,\d{3}))(?:\.(\d*))?")
_SHORTENED = re.compile(r"\d(\.\d+)?[Ee]\+\d+")
_DEVANAGARI = re.compile(r"[\u0900-\u097f]")
_BEGINS_WITH_YEAR = re.compile(r"(\d{4})[-/.]?(\d{1,2})[-/.]?(\d{1,2})")
_BEGINS_WITH_DAY = re.compile(r"(\d{1,2})[-/. ](\d{1,2}|[A-Z]{3,9})[-/. ](\d{4}|\d{2})")
_TIME_OF_DAY = re.compile(r"[T ]+\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[AP]M)?(Z|[+-]\d{2}:?\d{2})?$")


class Wrong(ValueError):
    """A cell that cannot be read: the reason in plain words, to stand after the column and the cell."""


# --- readers: from the text of a cell to the value kept; each raises Wrong and nothing else ---------------------------


def text(cell: str) -> str:
    """Words: spaces tidied, letters in their one normal form (NFC), unseen characters dropped."""
    if cell.isascii() and cell.isprintable():
        tidy = " ".join(cell.split())
    else:
        tidy = unicodedata.normalize("NFC", " ".join(_UNSEEN.sub(" ", cell).split()))
    if len(cell.strip()) > LONGEST_TEXT:
        raise Wrong(f"is longer than {LONGEST_TEXT} characters")
    return tidy


def code(cell: str) -> str:
    """A number or code that is not counted with (meter, invoice, section): its leading zeros stay."""
    tidy = text(cell)
    if not tidy.isascii():
        tidy = tidy.translate(_DIGITS)
    if "+" in tidy and _SHORTENED.fullmatch(tidy):
        raise Wrong("was shortened by a spreadsheet: make the column text and export it again")
    return tidy


def account_reader(pattern: str) -> Reader:
    """A reader for CA numbers of the company's shape (setting `ca_pattern`): spaces, hyphens and a "CA" prefix are dropped."""
    shape = re.compile(pattern, re.ASCII)

    def account(cell: str) -> str:
        if cell.isascii() and shape.fullmatch(cell):
            return cell
        number = re.sub(r"[\s-]", "", code(cell))
        for candidate in (number, re.sub(r"^CA(NO)?[.:]*", "", number, flags=re.IGNORECASE)):
            if shape.fullmatch(candidate):
                return candidate
        if re.fullmatch(r"\d{5,8}", number):
            raise Wrong("is too short for a CA number: a spreadsheet may have dropped its leading zeros; make the column text")
        raise Wrong("is not a CA number")

    return account


def phone(cell: str) -> str:
    """An Indian mobile as +91 and ten digits (telecom-india.md section 4). Numbers beginning 5 belong to nobody: the demo's."""
    bare = re.sub(r"[\s().-]", "", text(cell).translate(_DIGITS))
    match = re.fullmatch(r"(?:\+91|0091|91|0)?([5-9]\d{9})", bare)
    if not match:
        raise Wrong("is not an Indian mobile number: write ten digits beginning with 6 to 9")
    if len(set(match[1])) == 1:
        raise Wrong("is a placeholder, not a phone: leave the cell empty")
    return f"+91{match[1]}"


@lru_cache(REMEMBERED)
def rupees(cell: str) -> int:
    """Money in paise, from `1240`, `1,240.50`, `1,24,050`, `-150` or `Rs 1240/-`; exact, no floats."""
    bare = re.sub(r"^(RS\.?|INR|रु\.?|₹)\s*|\s*/-$", "", text(cell).upper().translate(_DIGITS))
    match = _PLAIN_NUMBER.fullmatch(bare)
    if not match:
        raise Wrong("is not an amount: write rupees such as 1240.50")
    sign, plain, grouped, fraction = match.groups()
    paise = (fraction or "").rstrip("0")
    if len(paise) > 2:
        raise Wrong("has parts of a paisa: round it to two decimals")
    digits = (plain or grouped).replace(",", "")
    amount = int(digits[:20]) * 100 + int(paise.ljust(2, "0"))
    if len(digits) > 20 or amount > MOST_PAISE:
        raise Wrong("is too large an amount")
    return -amount if sign == "-" else amount


@lru_cache(REMEMBERED)
def count(cell: str) -> int:
    """A whole number, never negative: a reading, units."""
    match = _PLAIN_NUMBER.fullmatch(text(cell).translate(_DIGITS))
    if not match or match[1] == "-" or (match[4] or "").strip("0"):
        raise Wrong("is not a whole number such as 4210")
    digits = (match[2] or match[3]).replace(",", "")
    if len(digits) > 20 or int(digits) > MOST_COUNT:
        raise Wrong("is too large")
    return int(digits)


@lru_cache(REMEMBERED)
def day(cell: str) -> str:
    """A day as yyyy-mm-dd, from that, dd-mm-yyyy, dd/mm/yy, 22-MAY-2022 or 20220522; a time of day behind it is dropped."""
    bare = _TIME_OF_DAY.sub("", text(cell).upper().translate(_DIGITS))
    year, month, of_month = _day_parts(bare)
    try:
        return date(year, month, of_month).isoformat()
    except ValueError:
        raise Wrong("is not a day: write it as 28-02-2026") from None


def _day_parts(bare: str) -> tuple[int, int, int]:
    if match := _BEGINS_WITH_YEAR.fullmatch(bare):
        return int(match[1]), int(match[2]), int(match[3])
    if match := _BEGINS_WITH_DAY.fullmatch(bare):
        return _year(match[3]), _month_number(match[2]), int(match[1])
    return 0, 0, 0


@lru_cache(REMEMBERED)
def month(cell: str) -> str:
    """A month as its first day, from MAY-2022, May 22, 05-2022, 2022-05, 202205 or any day in it."""
    bare = text(cell).upper().translate(_DIGITS)
    if match := re.fullmatch(r"(\d{4})[-/. ]?(\d{2})", bare):
        year, number = int(match[1]), int(match[2])
    elif match := re.fullmatch(r"(\d{1,2}|[A-Z]{3,9})[-/.' ]*(\d{4}|\d{2})", bare):
        year, number = _year(match[2]), _month_number(match[1])
    else:
        year, number, _ = _day_parts(_TIME_OF_DAY.sub("", bare))
    if not (1 <= number <= 12 and year >= 1):
        raise Wrong("is not a month: write it as MAY-2026")
    return f"{year:04}-{number:02}-01"


def _year(digits: str) -> int:
    return int(digits) if len(digits) == 4 else 2000 + int(digits)


def _month_number(word: str) -> int:
    if word.isascii() and word.isdigit():
        return int(word)
    return _MONTHS.index(word[:3]) + 1 if word[:3] in _MONTHS else 0


@lru_cache(REMEMBERED)
def watts(cell: str) -> int:
    """A sanctioned load in watts, from `2`, `2.5 kW`, `5 HP`, `10 kVA`; a bare number is kilowatts."""
    match = re.fullmatch(r"(\d{1,7}(?:\.\d{1,6})?) ?(KW|W|HP|KVA)?", text(cell).upper().translate(_DIGITS))
    if not match:
        raise Wrong("is not a load: write it as 2 kW or 5 HP")
    return int(Decimal(match[1]) * WATTS[match[2] or ""])


@lru_cache(REMEMBERED)
def pin(cell: str) -> str:
    """A PIN code: six digits."""
    bare = re.sub(r"\s", "", code(cell))
    if not re.fullmatch(r"[1-9]\d{5}", bare):
        raise Wrong("is not a PIN code of six digits")
    return bare


def _words(**meanings: str) -> Callable[[str], str | None]:
    """A look-up of the words that stand for a value, upper or lower case."""
    table = {word.upper(): value for value, words in meanings.items() for word in [value, *words.split()]}
    return lambda cell: table.get(text(cell).upper().translate(_DIGITS))


_area = _words(urban="U TOWN CITY शहरी", rural="R VILLAGE ग्रामीण")
_phases = _words(one="1 1-PHASE 1PH SINGLE SINGLE-PHASE", three="3 3-PHASE 3PH THREE-PHASE")
_yes_no = _words(yes="Y 1 TRUE हाँ हां", no="N 0 FALSE नहीं")
_basis = _words(OK="", MD="", MT="", LK="")


@lru_cache(REMEMBERED)
def area(cell: str) -> str:
    """Town or village, as `urban` or `rural`."""
    return _one_of(_area(cell), "is neither URBAN nor RURAL")


@lru_cache(REMEMBERED)
def phases(cell: str) -> int:
    """One or three phases."""
    return 1 if _one_of(_phases(cell), "is neither 1 nor 3 phases") == "one" else 3


@lru_cache(REMEMBERED)
def yes_no(cell: str) -> int:
    """Yes as 1, no as 0."""
    return int(_one_of(_yes_no(cell), "is neither yes nor no") == "yes")


@lru_cache(REMEMBERED)
def basis(cell: str) -> str:
    """The meter status printed on Bihar bills (utility.md section 3, S20)."""
    return _one_of(_basis(cell), "is not a meter status: OK, MD, MT or LK")


def _one_of(found: str | None, reason: str) -> str:
    if found is None:
        raise Wrong(reason)
    return found


# --- the fields of each kind ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its name, what it is for, how a cell is read, its shape in JSON, and the columns it is known by.

    `needed`: a file without its column, a row without its cell and a JSON object without it are refused.
    """

    name: str
    says: str
    read: Reader
    schema: Schema
    also: tuple[str, ...] = ()
    needed: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of record: its fields in the order read, and its table.

    `columns` are the table's, `key` those that name a row; `defaults` fill what a new row was not given. `narrow` is the
    key column that, beside the first, keeps a look-up of many rows small. `of_consumer`: its account must be known.
    """

    name: str
    table: str
    fields: tuple[Field, ...]
    columns: tuple[str, ...]
    key: tuple[str, ...]
    defaults: Mapping[str, Value] = field(default_factory=dict)
    narrow: str = ""
    of_consumer: bool = True

    def field(self, name: str) -> Field:
        """A field by name. Raises KeyError."""
        return {one.name: one for one in self.fields}[name]


_TEXT: Schema = {"type": "string", "maxLength": LONGEST_TEXT}
_NAMED: Schema = {**_TEXT, "pattern": "^[0-9A-Za-z\u0905-\u0939]"}
_MONEY: Schema = {"type": "integer", "minimum": -MOST_PAISE, "maximum": MOST_PAISE}
_COUNT: Schema = {"type": "integer", "minimum": 0, "maximum": MOST_COUNT}
_DAY: Schema = {"type": "string", "format": "date"}
_FLAG: Schema = {"type": "boolean"}
MONTH: Schema = {"type": "string", "pattern": "^[12][0-9]{3}-(0[1-9]|1[0-2])$"}
_AREA = Field("area", "town or village: decides the time limits", area, {"type": "string", "enum": ["urban", "rural"]},
              ("LT_HT", "UrbanRural"))  # fmt: skip
PHONE: Schema = {"type": "string", "pattern": r"^\+91[5-9][0-9]{9}$", "not": {"pattern": r"^\+91([5-9])\1{9}$"}}


@cache
def kinds(ca_pattern: str = r"\d{9,11}") -> Mapping[str, Kind]:
    """Every kind by name, for CA numbers of this shape."""
    shape: Schema = {"type": "string", "pattern": "^(?:" + ca_pattern.replace(r"\d", "[0-9]") + ")$"}
    account = Field("account", "CA number, leading zeros kept", account_reader(ca_pattern), shape,
                    ("CANumber", "CANo", "CA", "ConsumerNo", "ConsumerNumber", "ContractAccount"), needed=True)  # fmt: skip
    made = (_sections(), _feeders(), _consumers(account), _bills(account), _payments(account), _phones(account))
    return {kind.name: kind for kind in made}


def _names(what: str, also: str) -> tuple[Field, ...]:
    """A name in either script, and in each."""
    return (
        Field("name", f"name {what}in either script", text, _NAMED, (f"{also}Name",)),
        Field("name_deva", f"name {what}in Devanagari", text, _TEXT, (f"{also}NameHindi",)),
        Field("name_latin", f"name {what}in Latin letters", text, _TEXT, (f"{also}NameEnglish",)),
    )


def _sections() -> Kind:
    fields = (
        Field("code", "code of the section, as the consumers have it", code, _NAMED, ("SectionCode", "SubDivision"), needed=True),
        *_names("of the section ", "Section"),
        _AREA,
        Field("centre", "where its people are served, in either script", text, _TEXT, ("ServiceCentre",)),
        Field("centre_deva", "the same in Devanagari", text, _TEXT),
        Field("centre_latin", "the same in Latin letters", text, _TEXT),
    )
    columns = ("code", "name_deva", "name_latin", "area", "centre_deva", "centre_latin")
    return Kind("sections", "section", fields, columns, ("code",), {"area": "rural"}, of_consumer=False)


def _feeders() -> Kind:
    """Which PIN codes a feeder serves is known by its consumers."""
    named = Field("code", "code of the 11 kV feeder, as the consumers have it", code, _NAMED, ("FeederCode",), needed=True)
    columns = ("code", "name_deva", "name_latin")
    return Kind("feeders", "feeder", (named, *_names("of the feeder ", "Feeder")), columns, ("code",), of_consumer=False)


def _consumers(account: Field) -> Kind:
    fields = (
        account,
        Field("name", "name in either script", text, _NAMED, ("ConsumerName",)),
        Field("name_deva", "name in Devanagari", text, _TEXT, ("NameHindi", "ConsumerNameHindi")),
        Field("name_latin", "name in Latin letters", text, _TEXT, ("NameEnglish", "ConsumerNameEnglish")),
        Field("address", "address in either script", text, _TEXT),
        Field("address_deva", "address in Devanagari", text, _TEXT, ("AddressHindi",)),
        Field("address_latin", "address in Latin letters", text, _TEXT, ("AddressEnglish",)),
        Field("meter", "meter number", code, _TEXT, ("MeterNo", "MeterNumber")),
        _AREA,
        Field("pin", "PIN code", pin, {"type": "string", "pattern": "^[1-9][0-9]{5}$"}, ("PinCode", "Pincode")),
        Field("section", "section or sub-division that serves it", code, _TEXT, ("SubDivision", "SectionCode")),
        Field("feeder", "11 kV feeder code", code, _TEXT, ("FeederCode",)),
        Field("transformer", "transformer (DTR) code", code, _TEXT, ("DTR", "DTRCode", "TransformerCode")),
        Field("category", "tariff category such as DS-II", code, _TEXT, ("Tariff", "TariffCategory")),
        Field("load", "sanctioned load (JSON: watts)", watts, _COUNT, ("SanctionedLoad", "ConnectedLoad")),
        Field("phases", "1 or 3", phases, {"type": "integer", "enum": [1, 3]}, ("Phase",)),
        Field("balance", "prepaid balance (JSON: paise)", rupees, _MONEY, ("PrepaidBalance",)),
        Field("balance_on", "day of that balance", day, _DAY, ("BalanceDate", "AsOn")),
    )  # fmt: skip
    columns = ("account", "name_deva", "name_latin", "address_deva", "address_latin", "meter", "area", "pin", "section", "feeder",
               "transformer", "category", "load", "phases", "balance", "balance_on")  # fmt: skip
    defaults: dict[str, Value] = {"load": 0, "phases": 1, "balance": None, "balance_on": None, "area": "rural"}
    return Kind("consumers", "consumer", fields, columns, ("account",), defaults, of_consumer=False)


def _bills(account: Field) -> Kind:
    fields = (
        account,
        Field("month", "billing month", month, MONTH, ("BillMonth",), needed=True),
        Field("amount", "payable by the due day, less than zero for a credit (JSON: paise)", rupees, _MONEY,
              ("BillAmount", "PayableAmount"), needed=True),
        Field("due", "last day to pay", day, _DAY, ("DueDate",), needed=True),
        Field("number", "bill number", code, _TEXT, ("InvoiceNO", "BillNo")),
        Field("issued", "day of the bill", day, _DAY, ("BillDate", "IssueDate")),
        Field("current", "this month's part (JSON: paise)", rupees, _MONEY, ("CurrentAmount", "CurrentCharges")),
        Field("arrears", "older dues in it (JSON: paise)", rupees, _MONEY, ("Arrear", "ArrearAmount")),
        Field("surcharge", "late charge in it (JSON: paise)", rupees, _MONEY, ("DPS", "LateCharge")),
        Field("previous", "previous reading", count, _COUNT, ("PreviousReading", "PrevReading")),
        Field("present", "present reading", count, _COUNT, ("PresentReading", "CurrentReading")),
        Field("units", "units billed", count, _COUNT, ("UnitsBilled", "BilledUnits")),
        Field("basis", "meter status", basis, {"type": "string", "enum": ["OK", "MD", "MT", "LK"]}, ("BillBasis", "MeterStatus")),
        Field("free", "whether the free units were applied", yes_no, _FLAG, ("FreeUnits", "FreeScheme")),
    )  # fmt: skip
    columns = ("account", "month", "number", "due", "issued", "amount", "current", "arrears", "surcharge", "previous", "present",
               "units", "basis", "free")  # fmt: skip
    numbers = dict.fromkeys(("current", "arrears", "surcharge", "previous", "present", "units", "free"), 0)
    return Kind("bills", "bill", fields, columns, ("account", "month"), {**numbers, "basis": "OK"}, narrow="month")


def _payments(account: Field) -> Kind:
    fields = (
        account,
        Field("paid_on", "day of payment", day, _DAY, ("PaymentDateTime", "PaymentDate"), needed=True),
        Field("receipt", "receipt number", code, _NAMED, ("ReceiptNo", "TransactionId", "BillNo"), needed=True),
        Field("amount", "amount paid (JSON: paise)", rupees, _MONEY, ("PaidAmount", "PaymentAmount"), needed=True),
    )
    columns = ("account", "paid_on", "receipt", "amount")
    return Kind("payments", "payment", fields, columns, ("account", "paid_on", "receipt"), narrow="paid_on")


def _phones(account: Field) -> Kind:
    mobile = Field("phone", "mobile number", phone, PHONE, ("MobileNumber", "Mobile", "MobileNo"), needed=True)
    columns = ("phone", "account", "linked_at", "how", "confirmed")
    return Kind("phones", "link", (mobile, account), columns, ("phone", "account"), {"how": "import", "confirmed": 0})


def known_columns() -> frozenset[str]:
    """Every column name of every kind, folded: those a kind has no use for are not worth a notice."""
    service = ("Division", "CompanyName")
    named = (name for kind in kinds().values() for one in kind.fields for name in (one.name, *one.also))
    return frozenset(fold(name) for name in (*named, *service))


def fold(column: str) -> str:
    """A column name without case, spaces and underscores."""
    return re.sub(r"[\s_.\-/]", "", column).casefold()


def in_columns(kind: Kind, given: Mapping[str, Value]) -> list[Value]:
    """The fields that were given, in the order of the kind's table; a name or address goes where its script belongs."""
    values = dict(given)
    for words in ("name", "address", "centre"):
        said = values.pop(words, None) if f"{words}_deva" in kind.columns else None
        if isinstance(said, str):
            place = f"{words}_deva" if _DEVANAGARI.search(said) else f"{words}_latin"
            values[place] = values.get(place) or said
    return [values.get(column) for column in kind.columns]


def complete(kind: Kind, given: Sequence[Value], kept: Sequence[Value] | None) -> tuple[Value, ...]:
    """The whole row: what was given, else what is kept, else (a new row) the defaults."""
    if kept is not None:
        return tuple(old if new is None else new for new, old in zip(given, kept, strict=True))
    values = dict(zip(kind.columns, given, strict=True))
    defaults = {**kind.defaults, **_worked_out(kind, values)}
    return tuple(defaults.get(column, "") if value is None else value for column, value in values.items())


def _worked_out(kind: Kind, values: Mapping[str, Value]) -> dict[str, Value]:
    """Defaults that depend on the row: a consumer's tariff may tell town from village."""
    tariff = re.fullmatch(r"N?DS-?(I{1,2})", str(values.get("category")).upper())  # utility.md section 4: DS-I rural, DS-II urban
    return {"area": "urban" if tariff[1] == "II" else "rural"} if tariff else {}


def key_of(kind: Kind, values: Sequence[Value]) -> str:
    """What names a row, as one text."""
    return "\x1f".join(str(values[kind.columns.index(column)]) for column in kind.key)
