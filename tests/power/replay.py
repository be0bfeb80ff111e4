"""Reads what the shim recorded, and puts the disk together as it would be if the power had failed at some point of it.

What was written before a file's last sync is there. Of what was written after it, a disk may have kept anything: here nothing,
all, or a part of it, the last of them torn in the middle.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HEAD = struct.Struct("<IIQQ")
WRITE, TRUNCATE, SYNC, ACKNOWLEDGE = 1, 2, 3, 4
SUFFIX = {1: "", 2: "-wal", 3: "-journal"}
#: What a disk writes at once.
SECTOR = 512


@dataclass(frozen=True)
class Step:
    """One thing that was done to the disk, or a hop that was acknowledged (`data` is its phone and id)."""

    what: int
    file: int
    offset: int
    data: bytes


@dataclass
class Disk:
    """What is safely on the disk, by file; and what was written since each file's last sync."""

    safe: dict[int, bytearray]
    since: dict[int, list[Step]] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)

    def do(self, step: Step) -> None:
        if step.what == ACKNOWLEDGE:
            self.acknowledged.add(step.data.decode())
        elif step.what == SYNC:
            for one in self.since.pop(step.file, []):
                apply(self.safe.setdefault(step.file, bytearray()), one)
        else:
            self.since.setdefault(step.file, []).append(step)

    def after_the_cut(self, chance: random.Random) -> Iterator[tuple[int, bytearray]]:
        """Each file as it may be found afterwards."""
        kept = chance.choice((0.0, 0.5, 1.0))
        for file in self.safe.keys() | self.since.keys():
            image = bytearray(self.safe.get(file, b""))
            some = [step for step in self.since.get(file, []) if chance.random() < kept]
            for step in some[:-1]:
                apply(image, step)
            for step in some[-1:]:
                apply(image, torn(step, chance) if kept == 0.5 else step)
            yield file, image


def apply(image: bytearray, step: Step) -> None:
    """Do a step to a file's image."""
    if step.what == TRUNCATE:
        del image[step.offset :]
        image.extend(bytes(max(0, step.offset - len(image))))
        return
    image.extend(bytes(max(0, step.offset - len(image))))
    image[step.offset : step.offset + len(step.data)] = step.data


def torn(step: Step, chance: random.Random) -> Step:
    """A write of which only the first sectors arrived."""
    sectors = len(step.data) // SECTOR
    return Step(step.what, step.file, step.offset, step.data[: SECTOR * chance.randint(0, sectors)]) if sectors else step


def read(log: Path) -> list[Step]:
    """The record, in order."""
    data, at, steps = log.read_bytes(), 0, []
    while at < len(data):
        what, file, offset, length = HEAD.unpack_from(data, at)
        at += HEAD.size
        steps.append(Step(what, file, offset, data[at : at + length]))
        at += length
    return steps


def put(folder: Path, files: Iterator[tuple[int, bytearray]]) -> Path:
    """Write the files of a disk, and nothing else, into a folder; the database's path."""
    for old in folder.iterdir():
        old.unlink()
    for file, image in files:
        (folder / f"town.db{SUFFIX[file]}").write_bytes(image)
    return folder / "town.db"
