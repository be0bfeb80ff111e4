"""Files that are there whole or not at all, for their owner alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A private file to be written, which gets its name once it is on the disk; what breaks off leaves none. Raises
    FileExistsError."""
    if path.exists():
        raise FileExistsError(f"{path} exists already; name another file")
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    part.touch(0o600)
    try:
        yield part
        make_durable(part)
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    make_durable(path.parent)


def make_durable(path: Path) -> None:
    """Sync a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
