"""Cutting a text into pages that fit a phone: between options, then lines, then words, then letters; never inside one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from messages.encoding import clusters

#: Whether a finished page fits.
Fits = Callable[[str], bool]


def pages(body: str, options: Sequence[str], back: str, more: str, fits: Fits, *, leads_back: bool) -> tuple[str, ...]:
    """The pages of a screen: its body, then its options one a line, then the back line.

    Every page but the last ends with `more`; every page after the first carries `back` if it has room, since 0 leads one
    page back; the first only if the screen `leads_back`. A back line is left out where only that saves a page: 0 works
    without it.
    """
    lines = [body, *options] if body else list(options)
    whole = "\n".join(lines)
    for page in (_with(whole, back if leads_back else ""), whole):
        if fits(page):
            return (page,)
    done: list[str] = []
    page = ""
    pieces = lines
    while pieces:
        piece, pieces = pieces[0], pieces[1:]
        longer = f"{page}\n{piece}" if page else piece
        if (not pieces and fits(longer)) or fits(_with(longer, more)):
            page = longer
        elif page:
            done.append(_middle(page, back if done else "", more, fits))
            page, pieces = "", [piece, *pieces]
        else:
            head, tail = _cut(piece, lambda part: fits(_with(part, more)))
            page, pieces = head, [tail, *pieces]
    last = _with(page, back)
    done.append(last if fits(last) else page)
    return tuple(done)


def _with(page: str, line: str) -> str:
    return f"{page}\n{line}" if line else page


def _middle(page: str, back: str, more: str, fits: Fits) -> str:
    """A page with another behind it."""
    full = _with(_with(page, more), back)
    return full if fits(full) else _with(page, more)


def _cut(text: str, fits: Fits) -> tuple[str, str]:
    """As much of a text as fits, and the rest: cut at a newline, else at a space, else between letters."""
    letters = clusters(text)
    low, high = 1, len(letters)
    while low < high:  # the longest fitting beginning; lengths grow with the text, so halving finds it
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits("".join(letters[:middle])) else (low, middle - 1)
    head = "".join(letters[:low])
    if not fits(head):  # one letter with a pile of marks, longer than a page
        size = max(size for size in range(1, len(head) + 1) if size == 1 or fits(head[:size]))
        return head[:size], text[size:]
    if len(head) == len(text):
        return text, ""
    for break_ in ("\n", " "):
        place = head.rfind(break_)
        if place > len(head) // 2:
            return head[:place], text[place + 1 :]
    return head, text[len(head) :]
