"""Minimal filtering F(m, r): what a module of `filtering` gives, and the arithmetic its functions are written in.

The functions are straight lines on tuples. In kernels the components are vectors (`lanes`) or numbers of float32 or
float64, and each operation rounds once; in plain Python they may be fractions, and the result is exact.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from numba import types
from numba.extending import overload

from . import engine
from .lanes import Vector
from .native import OPTIONS

_INLINE = {"forceinline": True, **OPTIONS}


@dataclass(frozen=True)
class Filtering:
    """y = A^T [(G g) o (B^T d)]: m outputs of a correlation with r taps by n = m + r - 1 multiplications.

    data: B^T d, n to n; filters: G g, r to n; outputs: A^T x, n to m; sensitivities: A y, m to n; gradients: G^T x, n to r.
    Each takes a tuple and gives one.
    growth: the rms rounding error of y, as a multiple of the direct sum's; growth_2d: when nested for two dimensions.
    """

    m: int
    r: int
    data: Callable[[tuple], tuple]
    filters: Callable[[tuple], tuple]
    outputs: Callable[[tuple], tuple]
    sensitivities: Callable[[tuple], tuple]
    gradients: Callable[[tuple], tuple]
    growth: float
    growth_2d: float

    @property
    def n(self) -> int:
        """Multiplications for m outputs."""
        return self.m + self.r - 1


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
