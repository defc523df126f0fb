"""Minimal filtering F(m, r): what a module of `filtering` gives, and the arithmetic its functions are written in.

The functions are straight lines on tuples. In kernels the components are vectors (`lanes`) or numbers of float32 or
float64, and each operation rounds once; in plain Python they may be fractions, and the result is exact.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from . import engine
from .lanes import Vector
from .native import OPTIONS

_INLINE = {"forceinline": True, **OPTIONS}


def chained(runs: int, run: float, most: float) -> float:
    """The variance of the error of a sum of so many runs of addends, in variances of one rounding.

    Whole runs, or parts of one, make chains of at most ``most`` addends; the sums of chains are added up one by one.
    """
    lengths: Sequence[float]
    if run <= most:
        together = int(min(most // run, runs))
        lengths = [run * together] * (runs // together) + [run * (runs % together)]
    else:
        lengths = ([int(most)] * int(run // most) + [int(run % most)]) * runs
    chains = np.array([length for length in lengths if length], float)
    return float((chains * (chains + 1) / 2).sum() + np.cumsum(chains)[1:].sum())


@dataclass(frozen=True)
class Rounding:
    """Rounding errors to the first order, for independent data of mean 0 and variance 1 (derive/lowering/rounding.py).

    Where C addends are summed up, the error of a mean output has the variance sums E(C) + transforms C; summed up directly
    it is of taps C products, and has E(taps C). E is the error of a sum, in variances of one rounding: see `chained`.
    """

    taps: float
    sums: float
    transforms: float

    def growth(self, addends: float = math.inf, chain: float | None = None, direct: float | None = None) -> float:
        """The rms error as a multiple of the direct sum's: for channels, or for samples times tiles of a gradient by g.

        chain, direct: E of the addends and of the direct sum, where they are not a chain each.
        """
        products = self.taps * addends
        if addends == math.inf:
            return math.sqrt(self.sums) / self.taps
        chain = chained(1, addends, addends) if chain is None else chain
        direct = chained(1, products, products) if direct is None else direct
        return math.sqrt((self.sums * chain + self.transforms * addends) / direct)

    def nested(self, other: "Rounding") -> "Rounding":
        """In two dimensions, this along one axis and the other along the other one; the mean over which comes first."""
        lost = self.transforms * (other.taps + other.sums) + other.transforms * (self.taps + self.sums)
        return Rounding(self.taps * other.taps, self.sums * other.sums, lost / 2)


@dataclass(frozen=True)
class Filtering:
    """y = A^T [(G g) o (B^T d)]: m outputs of a correlation with r taps by n = m + r - 1 multiplications.

    data: B^T d, n to n; filters: G g, r to n; outputs: A^T x, n to m; sensitivities: A y, m to n; gradients: G^T x, n to r.
    Each takes a tuple and gives one.
    rounding: of y, whose addends are channels; rounding_gradients: of the gradient by g, whose addends are tiles.
    """

    m: int
    r: int
    data: Callable[[tuple], tuple]
    filters: Callable[[tuple], tuple]
    outputs: Callable[[tuple], tuple]
    sensitivities: Callable[[tuple], tuple]
    gradients: Callable[[tuple], tuple]
    rounding: Rounding
    rounding_gradients: Rounding

    @property
    def n(self) -> int:
        """Multiplications for m outputs."""
        return self.m + self.r - 1

    @property
    def growth(self) -> float:
        """The rms rounding error of y as a multiple of the direct sum's, for many channels."""
        return self.rounding.growth()

    @property
    def growth_2d(self) -> float:
        """The same when nested for two dimensions."""
        return self.rounding.nested(self.rounding).growth()


def fma(c: Any, x: Any, y: Any) -> Any:
    """c x + y with one rounding, for a constant c: a whole number, or (p, q) for p / q."""
    return (Fraction(*c) if isinstance(c, tuple) else c) * x + y


def times(c: Any, x: Any) -> Any:
    """c x for a constant c: a whole number, or (p, q) for p / q."""
    return (Fraction(*c) if isinstance(c, tuple) else c) * x


def _dtype(x: types.Type) -> Any:
    """Of the components of a vector, or a number's own; None for what is neither."""
    dtype = x.dtype if isinstance(x, Vector) else x
    return dtype if isinstance(dtype, types.Float) else None


@overload(fma, jit_options=_INLINE)
def _fma(c, x, y):
    dtype = _dtype(x)
    if dtype is None or y != x:
        return None
    if isinstance(c, types.BaseTuple):
        return lambda c, x, y: engine.fma(x, dtype(c[0]) / dtype(c[1]), y)
    return lambda c, x, y: engine.fma(x, dtype(c), y)


@overload(times, jit_options=_INLINE)
def _times(c, x):
    dtype = _dtype(x)
    if dtype is None:
        return None
    if isinstance(c, types.BaseTuple):
        return lambda c, x: x * (dtype(c[0]) / dtype(c[1]))
    return lambda c, x: x * dtype(c)
