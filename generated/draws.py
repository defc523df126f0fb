"""Random numbers inside a step: each a function of its seed, layer, step and place, whatever the threads and the lanes.

SplitMix64 (Steele, Lea & Flood 2014) by place: the n-th number of a stream is the mixed n-th multiple of the golden ratio.
"""

import numpy as np
from numba import njit

from .native import OPTIONS
from .program import Kernel, span

GOLDEN, FIRST, SECOND = (np.uint64(x) for x in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
A, B, C = (np.uint64(x) for x in (30, 27, 31))
BITS, UNIT = np.uint64(40), 2.0**-24  # 24 bits of each number, so that it is the same in every dtype

_inline = njit(forceinline=True, **OPTIONS)


@_inline
def mixed(z):
    """The finalizer of SplitMix64: every bit of the result depends on every bit of z."""
    z = np.uint64(np.uint64(z ^ (z >> A)) * FIRST)
    z = np.uint64(np.uint64(z ^ (z >> B)) * SECOND)
    return z ^ (z >> C)


@_inline
def stream(seed, layer, step):
    """Where the numbers of a layer begin in a step."""
    state = mixed(np.uint64(np.uint64(int(seed)) + GOLDEN))
    state = mixed(np.uint64(state + np.uint64(int(layer)) * GOLDEN))
    return mixed(np.uint64(state + np.uint64(int(step)) * GOLDEN))


def draw(u, seed, layer, step, first, last):
    r"""u[i]: uniform in [0, 1), a multiple of 2^-24."""
    T = u.dtype.type
    begin = stream(seed, layer, step)
    for i in span(first, last):
        u[i] = T(mixed(np.uint64(begin + (np.uint64(i) + np.uint64(1)) * GOLDEN)) >> BITS) * T(UNIT)


DRAW = Kernel(draw, arguments=("u[i]",), split="i", writes=("u",), scalars=("seed", "layer", "step"))
