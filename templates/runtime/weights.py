"""Darknet's ``.weights`` files: the parameters and running statistics of a network, read and written.

    configuration = read_configuration("yolov3-tiny.cfg")
    network = configuration.network()
    read_weights(network, "yolov3-tiny.weights", sections=configuration.sections)

A file is a header and then numbers of four bytes, one section of the network after the other, with nothing between them:

    convolutional   biases, [scales, means, variances,] weights [filters, channels, rows, columns]
    connected       biases, weights [outputs, inputs], [scales, means, variances]
    local           biases [filters, rows, columns], weights [rows, columns, filters, channels, rows, columns]
    batchnorm       scales, means, variances

What stands in brackets is there where the section normalises; its biases are then those of the normalisation, our beta. The
header is three whole numbers, major, minor and revision, and how many samples the network has seen: of four bytes before
version 0.2, of eight from then on. More than 1000 in major or minor says that connected weights lie [inputs, outputs].
All is little-endian. (Facts: pjreddie/darknet, ``src/parser.c``.)
"""

import os
import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

import numpy as np

from .files import written_whole
from .graph import Entry, Link
from .network import Network, kept_arrays

VERSION = (0, 2, 0)  # of what is written
MOST = 2000  # of major, minor and revision: no version of Darknet's has more, be it marked as transposed
CONVOLUTIONS = ("convolution", "grouped_convolution", "depthwise_convolution")
NAMES = {**dict.fromkeys(CONVOLUTIONS, "convolutional"), "dense": "connected", "local": "local"}
WITH_NUMBERS = {*NAMES.values(), "batchnorm"}
SCALED = {"scales": "gamma", "means": "mean", "variances": "variance"}


class WeightsError(ValueError):
    """A file that is not the network's, or a network that no file can hold: says where, and what would be right."""


@dataclass(frozen=True)
class Header:
    """The head of a file: Darknet's version, and the samples that the network has seen in training."""

    major: int
    minor: int
    revision: int
    seen: int

    @property
    def transposed(self) -> bool:
        """Whether connected weights lie [inputs, outputs]."""
        return self.major > 1000 or self.minor > 1000


class Place(Protocol):
    """A section as a configuration has it: its name, and its layers ``first`` to ``last - 1``."""

    @property
    def name(self) -> str: ...
    @property
    def first(self) -> int: ...
    @property
    def last(self) -> int: ...


@dataclass(frozen=True)
class _Part:
    """Numbers that stand together in a file: what they are, the network's array of them, and whether they must be zero."""

    what: str
    array: np.ndarray
    zero: bool = False

    @property
    def count(self) -> int:
        return self.array.size


@dataclass(frozen=True)
class _Section:
    """A section with numbers: its number and name as Darknet counts, its layers of the network, its parts in their order.

    lost: what a file has no place for.
    """

    number: int
    name: str
    first: int
    last: int
    parts: list[_Part] = field(default_factory=list)
    lost: list[_Part] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(part.count for part in self.parts)

    def __str__(self) -> str:
        one = self.last - self.first == 1
        layers = f"layer {self.first + 1}" if one else f"layers {self.first + 1} to {self.last}"
        return f"section {self.number}, [{self.name}] ({layers} of the network)"


def read_weights(
    network: Network, path: str | os.PathLike, cutoff: int | None = None, *, sections: Sequence[Place] | None = None
) -> Header:
    """Set a network's parameters and running statistics to those of a file, all of them or, on an error, none.

    Parameters
    ----------
    cutoff : how many sections the file, or the part of it that counts, is of, as Darknet counts them, from the first on;
        the others stay as they are. All if not given.
    sections : those of the Configuration that the network comes from. If not given, they are what its layers look like:
        an activation belongs to the section before it.

    Raises WeightsError for a file that is too short or too long for the network, naming the section where it ends, for
    numbers that are not finite and variances below zero, and for a network that no file can hold. OSError if there is none.
    """
    chosen = _chosen(network, cutoff, sections)
    with open(path, "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise WeightsError(f"{path}: this is no file of weights; give a regular file")
        header, begin = _header(path, file.read(20))
        _check_size(path, chosen, state.st_size - begin, cutoff)
        file.seek(begin)
        values = np.fromfile(file, "<f4", sum(one.count for one in chosen))
    if len(values) < sum(one.count for one in chosen):
        raise WeightsError(f"{path}: it became shorter while it was read; read it once more")
    found = _read(path, chosen, values, header)
    for array, new in found:
        array[...] = new
    return header


def write_weights(
    network: Network,
    path: str | os.PathLike,
    seen: int = 0,
    cutoff: int | None = None,
    *,
    sections: Sequence[Place] | None = None,
) -> None:
    """Write a network's parameters and running statistics for Darknet, whole or not at all.

    seen: how many samples it was trained on. ``cutoff``, ``sections``: as in :func:`read_weights`. What rules keep between
    steps has no place in these files; `Network.save` writes all.

    Raises WeightsError for a network that no file can hold, for one because of its layers, or because of its numbers.
    """
    if isinstance(seen, bool) or not isinstance(seen, int | np.integer) or not 0 <= seen < 1 << 63:
        raise WeightsError(f"seen must be a whole number, 0 or more, not {seen!r}")
    numbers = []
    for one in _chosen(network, cutoff, sections):
        for part in one.lost:
            if np.any(part.array):
                _refuse(path, one, f"Darknet's files have no place for its {part.what}, and they are not 0")
        for part in one.parts:
            with np.errstate(over="ignore"):
                own = part.array.astype("<f4").reshape(-1)
            if not np.isfinite(own).all():
                _refuse(path, one, f"its {part.what} are not all finite numbers of four bytes")
            numbers.append(own)
    with written_whole(path) as file:
        file.write(struct.pack("<iiiQ", *VERSION, seen))
        for own in numbers:
            file.write(own.tobytes())


# Files ----------------------------------------------------------------------------------------------------------------


def _header(path: str | os.PathLike, start: bytes) -> tuple[Header, int]:
    """The header and its length, from the first bytes of a file."""
    if len(start) < 16:
        raise WeightsError(f"{path}: {len(start)} bytes are there; the header alone is 16, from version 0.2 on 20")
    major, minor, revision = struct.unpack_from("<iii", start)
    shown = f"{major}.{minor}.{revision}"
    if not all(0 <= number <= MOST for number in (major, minor, revision)):
        raise WeightsError(f"{path}: not a file of weights: it begins with version {shown}; Darknet's are 0.1 and 0.2")
    old = major * 10 + minor < 2 or major >= 1000 or minor >= 1000
    if not old and len(start) < 20:
        raise WeightsError(f"{path}: it ends in its header: {len(start)} bytes are there, of 20 in version {shown}")
    (seen,) = struct.unpack_from("<i" if old else "<q", start, 12)
    if seen < 0:
        raise WeightsError(f"{path}: not a file of weights: it says that {seen} samples were seen")
    return Header(major, minor, revision, seen), 16 if old else 20


def _check_size(path: str | os.PathLike, chosen: list[_Section], size: int, cutoff: int | None) -> None:
    """Raises WeightsError unless ``size`` bytes are what the sections need; with a cutoff, more may follow."""
    need, there = sum(one.count for one in chosen), size // 4
    if there < need:
        raise WeightsError(
            f"{path}: too short for the network: it ends in {_end(chosen, there)}; {need - there:,} of {need:,} values are "
            "missing"
        )
    if cutoff is None and size != 4 * need:
        more = f"{there - need:,} values" + (f" and {size % 4} bytes" if size % 4 else "")
        last = f" that {chosen[-1]} ends with" if chosen else ""
        raise WeightsError(f"{path}: too long for the network: it has {more} more than the {need:,}{last}")


def _end(chosen: list[_Section], left: int) -> str:
    """Where ``left`` values come to their end."""
    for one in chosen:
        for part in one.parts:
            if left < part.count:
                begins = left == 0 and part is one.parts[0] and one.number > 0
                hint = f" (cutoff={one.number} reads those before it)" if begins else ""
                return f"{one}, after {left:,} of its {part.count:,} {part.what}{hint}"
            left -= part.count
    raise ValueError("there are values enough")


def _read(
    path: str | os.PathLike, chosen: list[_Section], values: np.ndarray, header: Header
) -> list[tuple[np.ndarray, np.ndarray]]:
    """What is to be written into which array. Raises WeightsError for numbers that cannot be."""
    found, at = list[tuple[np.ndarray, np.ndarray]](), 0
    for one in chosen:
        for part in one.parts:
            own = values[at : at + part.count]
            at += part.count
            _check(path, one, part, own, ~np.isfinite(own), "all must be finite")
            if part.what == "variances":
                _check(path, one, part, own, own < 0, "none can be below 0")
            if part.zero:
                _check(path, one, part, own, own != 0, "the network has none, with bias=False")
            turned = header.transposed and one.name == "connected" and part.what == "weights"
            shape = part.array.shape
            found.append((part.array, own.reshape(shape[::-1]).T if turned else own.reshape(shape)))
        found += [(part.array, np.zeros(part.array.shape)) for part in one.lost]
    return found


def _check(path: str | os.PathLike, one: _Section, part: _Part, own: np.ndarray, wrong: np.ndarray, right: str) -> None:
    """Raises WeightsError for the first number that is wrong, and says what is right."""
    if wrong.any():
        place = int(np.argmax(wrong))
        _refuse(path, one, f"its {part.what} have {own[place]:g} at place {place} of {part.count}; {right}")


def _refuse(path: str | os.PathLike, one: _Section, why: str) -> NoReturn:
    raise WeightsError(f"{path}: {one}: {why}")


# Sections -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Layers:
    """A section as the layers look: its name where that matters, and its layers ``first`` to ``last - 1``."""

    name: str
    first: int
    last: int


def _chosen(network: Network, cutoff: int | None, sections: Sequence[Place] | None) -> list[_Section]:
    """The sections with numbers, those before the cutoff; raises WeightsError for layers that no section can hold."""
    learned, links = kept_arrays(network), network._built().layers
    places = _guessed(network._entries, links, learned) if sections is None else sections
    if cutoff is not None and (
        isinstance(cutoff, bool) or not isinstance(cutoff, int) or not 0 < cutoff <= len(places)
    ):
        raise WeightsError(f"cutoff must be how many sections count, 1 to {len(places)}, not {cutoff!r}")
    found = []
    for number, place in enumerate(places[:cutoff]):
        if any(learned[place.first : place.last]):
            found.append(_section(number, place, links, learned))
    return found


def _guessed(entries: Sequence[Entry], links: Sequence[Link | None], learned: Sequence[dict]) -> list[_Layers]:
    """The sections that the layers look like: a contraction, then its normalisation, then an activation.

    What makes a row of planes belongs to the section after it.
    """
    starts = list[int]()
    for n, (entry, one) in enumerate(zip(entries, links, strict=True)):
        follows = n > 0 and entry.references() == [n - 1]
        before = links[n - 1] if n else None
        if not follows or starts[-1] == n:
            joins = False
        elif before is None:
            joins = True  # what makes a row
        elif _normalises(learned[n]):
            joins = before.layer.name in NAMES and not before.bias
        else:
            joins = one is not None and _activates(one) and not _activates(before)
        if not joins:
            starts.append(n)
    return [_Layers("", first, last) for first, last in zip(starts, [*starts[1:], len(entries)], strict=True)]


def _activates(one: Link) -> bool:
    return one.layer.elementwise and len(one.inputs) == 1 and not one.layer.random


def _normalises(arrays: dict[str, np.ndarray]) -> bool:
    return set(arrays) == {"gamma", "beta", "mean", "variance"}


def _section(number: int, place: Place, links: Sequence[Link | None], learned: Sequence[dict]) -> _Section:
    """A section from those of its layers that learn: a contraction or none, and a normalisation or none."""
    own = [(n, one, learned[n]) for n in range(place.first, place.last) if (one := links[n]) is not None and learned[n]]
    norms = [arrays for _, _, arrays in own if _normalises(arrays)]
    contractions = [(one, arrays) for _, one, arrays in own if one.layer.name in NAMES]
    for n, one, arrays in own:
        if not (_normalises(arrays) or one.layer.name in NAMES) or max(len(norms), len(contractions)) > 1:
            raise WeightsError(f"layer {n + 1}: Darknet's files have no place for the parameters of {one.layer.name!r}")
    kind = place.name
    if kind not in WITH_NUMBERS:
        kind = NAMES[contractions[0][0].layer.name] if contractions else "batchnorm"
    scaled = [_Part(what, arrays[name]) for arrays in norms for what, name in SCALED.items()]
    shifts = [arrays["beta"] for arrays in norms]
    if not contractions:
        return _Section(number, kind, place.first, place.last, scaled, [_Part("shifts", beta) for beta in shifts])
    ((one, arrays),) = contractions
    own_biases = [arrays["b"]] if "b" in arrays else []
    biases = [_Part("biases", array) for array in (*shifts, *own_biases)] or [
        _Part("biases", one.frozen["b"], zero=True)
    ]
    weights = [_Part("weights", arrays["w"])]
    parts = [*biases[:1], *weights, *scaled] if kind == "connected" else [*biases[:1], *scaled, *weights]
    return _Section(number, kind, place.first, place.last, parts, biases[1:])
