"""Where the arrays of a pass lie: in one block, in which those that are not needed at once share their place."""

import mmap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

import numpy as np

from .program import Stage

LINE = 64  # bytes that places are multiples of


def reserved(shape: Sequence[int], dtype: np.dtype | str) -> np.ndarray:
    """An array with an address, in pages that take no memory before they are written to: see `placed`."""
    count = prod(shape)
    pages = mmap.mmap(-1, max(1, count * np.dtype(dtype).itemsize))
    return np.frombuffer(pages, dtype, count).reshape(tuple(shape))


def placed(stages: Sequence[Stage], arrays: Sequence[np.ndarray]) -> list[Stage]:
    """The stages with these `reserved` arrays in one block of memory instead.

    An array is needed from the first stage that has it to the last; the largest finds its place first.
    """
    own = {a.ctypes.data: a for a in arrays}
    needed: dict[int, range] = {}
    for at, stage in enumerate(stages):
        for address in {a.ctypes.data for call in stage.calls for a in call.arrays.values()} & own.keys():
            needed[address] = range(needed.get(address, range(at, at)).start, at + 1)
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
    block = block[-block.ctypes.data % LINE :]

    def moved(held: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: in_block(a) if a.ctypes.data in places else a for name, a in held.items()}

    def in_block(a: np.ndarray) -> np.ndarray:
        place = places[a.ctypes.data]
        return block[place : place + a.nbytes].view(a.dtype).reshape(a.shape)

    return [replace(s, calls=[replace(c, arrays=moved(c.arrays)) for c in s.calls]) for s in stages]
