"""What the readers of truths have in common: the pictures with their boxes, and how lines, numbers and boxes are checked.

A file is read with a bound on its size and held against what it should be: what is wrong is one ValueError that names file
and line. Boxes that reach out of their picture are clipped, and counted in a warning.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ANNOTATION_BYTES = 2 << 20  # that the truths of one picture may have,
LIST_BYTES = 64 << 20  # and a list of pictures
MOST_BOXES = 10_000  # in one picture
OUTSIDE = 0.002  # share of the picture by which a box may reach out of it before that is counted
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Labelled:
    """A picture and what is in it.

    boxes: (T, 5), ``class, x, y, w, h`` with centre and size in shares of the picture. difficult: (T,), those that it is no
    mistake to miss. size: columns and rows, where the truths say them.
    """

    path: Path
    boxes: np.ndarray
    difficult: np.ndarray
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Truths:
    """The pictures to learn from and those held out (either may be none), and the names of the classes."""

    name: str
    classes: tuple[str, ...]
    train: list[Labelled]
    held_out: list[Labelled]
    warnings: list[str]


@dataclass
class BoxReader:
    """Checks boxes, file by file; counts those that reach out of their picture, and keeps where the first one is."""

    clipped: int = 0
    first: str = ""

    def warnings(self) -> list[str]:
        return (
            [f"{self.first}: {self.clipped} boxes reach out of their picture and are clipped"] if self.clipped else []
        )

    def box(self, left: float, top: float, right: float, bottom: float, where: str) -> tuple[float, ...]:
        """Centre and size of a box given by its sides, all in shares of the picture, within the picture.

        Raises ValueError, beginning with ``where``, for one that has no area or lies outside.
        """
        if not (left < right and top < bottom):
            raise ValueError(f"{where}: a box of no area: {left:g} to {right:g}, {top:g} to {bottom:g}")
        if right <= 0 or bottom <= 0 or left >= 1 or top >= 1:
            raise ValueError(
                f"{where}: the box lies outside of its picture: in shares of it, {left:g} to {right:g}, {top:g} to {bottom:g}"
            )
        if min(left, top) < -OUTSIDE or max(right, bottom) > 1 + OUTSIDE:
            self.first = self.first or where
            self.clipped += 1
        left, top, right, bottom = max(left, 0), max(top, 0), min(right, 1), min(bottom, 1)
        return (left + right) / 2, (top + bottom) / 2, right - left, bottom - top


def number(text: str, what: str, where: str) -> float:
    """A finite decimal number. Raises ValueError, beginning with ``where``, for anything else."""
    value = float(text) if NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise ValueError(f"{where}: {what} must be a number, not {shortened(text)}")
    return value


def shortened(text: str) -> str:
    """Text from a file, as it may stand in a message."""
    return repr(text if len(text) <= 60 else text[:57] + "...")


def boxes_array(rows: Sequence[Sequence[float]], path: Path) -> np.ndarray:
    """Rows of class, x, y, w, h as an array (T, 5). Raises ValueError if there are too many."""
    if len(rows) > MOST_BOXES:
        raise ValueError(f"{path}: {len(rows):,} boxes in one picture; at most {MOST_BOXES:,} are read")
    return np.array(rows, np.float64).reshape(-1, 5)


def read_bytes(path: Path, most: int) -> bytes:
    """All of a file. Raises ValueError if it is larger than any file of its kind; OSError if it cannot be read."""
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{path}: more than {most:,} bytes; no file of this kind has so many")
    return content


def read_lines(path: Path, most: int) -> Iterator[tuple[str, str]]:
    """Each line that is not empty: where it is (``FILE:LINE``), and what it says, without spaces around it.

    Raises ValueError for a file that is no UTF-8 text or too large.
    """
    try:
        text = read_bytes(path, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file: {error}") from error
    for count, line in enumerate(text.split("\n"), 1):
        if "\0" in line:
            raise ValueError(f"{path}:{count}: not a text file: it has a zero byte")
        if line := line.strip():
            yield f"{path}:{count}", line


def read_names(path: Path) -> tuple[str, ...]:
    """The names of the classes, a line each. Raises ValueError if there are none, or one twice."""
    names: dict[str, str] = {}
    for where, name in read_lines(path, ANNOTATION_BYTES):
        if name in names:
            raise ValueError(f"{where}: the name {shortened(name)} is there already, at {names[name]}")
        names[name] = where
    if not names:
        raise ValueError(f"{path}: it has no names; write one on each line")
    return tuple(names)
