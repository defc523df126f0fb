"""Where the arrays of a pass lie: in one block, in which those that are not needed at once share their place."""

import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from .native import LINE
from .program import Stage


@dataclass(frozen=True)
class Place:
    """Where an array lies in the block: from the byte ``begin`` on, while the stages ``needed`` run.

    name, layer: what the first kernel that has it calls it, and which layer that is a part of.
    """

    name: str
    layer: str
    shape: tuple[int, ...]
    dtype: np.dtype
    needed: range
    begin: int

    @property
    def bytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Memory:
    """The block of bytes that the arrays of a pass share, and their places in it."""

    block: np.ndarray
    places: list[Place]


def reserved(shape: Sequence[int], dtype: np.dtype | str) -> np.ndarray:
    """An array with an address, in pages that take no memory before they are written to: see `placed`."""
    count = prod(shape)
    pages = mmap.mmap(-1, max(1, count * np.dtype(dtype).itemsize))
    return np.frombuffer(pages, dtype, count).reshape(tuple(shape))


def placed(stages: Sequence[Stage], arrays: Sequence[np.ndarray]) -> tuple[list[Stage], Memory]:
    """The stages with these `reserved` arrays in one block of memory instead; and how they lie in it.

    An array is needed from the first stage that has it to the last; the largest finds its place first.
    """
    own = {a.ctypes.data: a for a in arrays}
    needed: dict[int, range] = {}
    named: dict[int, tuple[str, str]] = {}
    for at, stage in enumerate(stages):
        for call in stage.calls:
            for name, a in call.arrays.items():
                if (address := a.ctypes.data) in own:
                    needed[address] = range(needed.get(address, range(at, at)).start, at + 1)
                    named.setdefault(address, (name, call.layer))
    places: dict[int, int] = {}
    for address in sorted(needed, key=lambda k: (-own[k].nbytes, needed[k].start)):
        beside = (
            k for k in places if needed[k].start < needed[address].stop and needed[address].start < needed[k].stop
        )
        place = 0
        for other in sorted(beside, key=places.__getitem__):
            if place + own[address].nbytes <= places[other]:
                break
            place = max(place, places[other] + -(-own[other].nbytes // LINE) * LINE)
        places[address] = place
    size = max((places[k] + own[k].nbytes for k in places), default=0)
    block = np.zeros(size + LINE, np.uint8)
    block = block[-block.ctypes.data % LINE :][:size]

    def moved(held: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: in_block(a) if a.ctypes.data in places else a for name, a in held.items()}

    def in_block(a: np.ndarray) -> np.ndarray:
        place = places[a.ctypes.data]
        return block[place : place + a.nbytes].view(a.dtype).reshape(a.shape)

    there = [Place(*named[k], own[k].shape, own[k].dtype, needed[k], places[k]) for k in needed]
    settled = [replace(s, calls=[replace(c, arrays=moved(c.arrays)) for c in s.calls]) for s in stages]
    return settled, Memory(block, there)
