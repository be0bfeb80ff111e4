"""The Verhoeff check digit: it ends our ticket numbers, and tells an Aadhaar-looking number from any other.

J. Verhoeff, Error Detecting Decimal Codes, 1969: finds every single wrong digit and every swap of neighbours.
"""

from __future__ import annotations

_TIMES = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 4, 0, 6, 7, 8, 9, 5),
    (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7),
    (4, 0, 1, 2, 3, 9, 5, 6, 7, 8),
    (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2),
    (7, 6, 5, 9, 8, 2, 1, 0, 4, 3),
    (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)
_TURN = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 5, 7, 6, 2, 8, 3, 0, 9, 4),
    (5, 8, 0, 3, 7, 9, 6, 1, 4, 2),
    (8, 9, 1, 6, 0, 4, 3, 5, 2, 7),
    (9, 4, 5, 3, 1, 2, 6, 8, 7, 0),
    (4, 2, 8, 6, 5, 7, 3, 9, 0, 1),
    (2, 7, 9, 3, 8, 0, 6, 4, 1, 5),
    (7, 0, 4, 6, 9, 1, 3, 2, 5, 8),
)
_INVERSE = (0, 4, 3, 2, 1, 5, 6, 7, 8, 9)


def _sum(digits: str, offset: int) -> int:
    total = 0
    for place, digit in enumerate(reversed(digits), offset):
        total = _TIMES[total][_TURN[place % 8][int(digit)]]
    return total


def verhoeff_ok(number: str) -> bool:
    """Whether the last of these ASCII digits is the check digit of the others."""
    return len(number) > 1 and number.isascii() and number.isdigit() and _sum(number, 0) == 0


def with_check_digit(digits: str) -> str:
    """These ASCII digits with their check digit behind."""
    return digits + str(_INVERSE[_sum(digits, 1)])
