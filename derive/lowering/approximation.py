"""Polynomials for the functions that the kernels need, with the errors they achieve.

Each is the interpolation at Chebyshev's points (near the minimax polynomial) of what is left of a function after its
argument has been reduced, in 60 digits, of the smallest degree that serves the dtype, its coefficients rounded to the
dtype. The error printed beside it is that of the rounded polynomial: measured, and relative to the function it is for.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from mpmath import atanh, chebyfit, erf, erfc, exp, fabs, linspace, log, mp, mpf, pi, polyval, sqrt, tanh

DIGITS = 60
with mp.workdps(DIGITS):
    LOG2 = log(2)
POINTS = 200  # at which an error is measured
TANH_FAR = 0.5625  # beyond it tanh(x) = 1 - 2 / (e^(2 x) + 1) loses nothing: its second part is at most a half
ERF_FAR = 0.5  # and beyond it erf(x) = 1 - erfc(x)


@dataclass(frozen=True)
class Remainder:
    """What a polynomial stands for: rest(t) on [low, high], where function(t) = known(t) + weight(t) rest(t)."""

    name: str
    formula: str
    rest: Callable[[mpf], mpf]
    interval: Callable[[], tuple[mpf, mpf]]
    share: Callable[[mpf], mpf]  # weight(t) / function(t): what an error of the rest costs, relatively


def _flattened_erfc(x: mpf) -> mpf:
    return (1 + 7 * x / 4) * exp(x * x) * erfc(x)


REMAINDERS = (
    Remainder(
        "expm1",
        "e^r = 1 + r + r^2 q(r)",
        rest=lambda r: (exp(r) - 1 - r) / r**2 if r else mpf(1) / 2,
        interval=lambda: (-log(2) / 2, log(2) / 2),
        share=lambda r: r**2 / (exp(r) - 1) if r else mpf(0),
    ),
    Remainder(
        "log",
        "log((1 + s) / (1 - s)) = 2 s + s z q(z), z = s^2",
        rest=lambda z: (2 * atanh(sqrt(z)) / sqrt(z) - 2) / z if z else mpf(2) / 3,
        interval=lambda: (mpf(0), (3 - 2 * sqrt(2)) ** 2),
        share=lambda z: z * sqrt(z) / (2 * atanh(sqrt(z))) if z else mpf(0),
    ),
    Remainder(
        "tanh",
        "tanh(x) = x + x z q(z), z = x^2",
        rest=lambda z: (tanh(sqrt(z)) / sqrt(z) - 1) / z if z else -mpf(1) / 3,
        interval=lambda: (mpf(0), mpf(TANH_FAR) ** 2),
        share=lambda z: z * sqrt(z) / tanh(sqrt(z)) if z else mpf(0),
    ),
    Remainder(
        "erf",
        "erf(x) = x + x q(z), z = x^2",
        rest=lambda z: erf(sqrt(z)) / sqrt(z) - 1 if z else 2 / sqrt(pi) - 1,
        interval=lambda: (mpf(0), mpf(ERF_FAR) ** 2),
        share=lambda z: sqrt(z) / erf(sqrt(z)) if z else sqrt(pi) / 2,
    ),
    Remainder(  # all x >= 0 at once, as Shepherd & Laframboise 1981 have it: (1 + c x) e^(x^2) erfc(x) is from 1 to 1.2
        "erfc",
        "erfc(x) = e^(-x^2) (9/8 + q(t)) / (1 + 7/4 x), t = (x - 3) / (x + 3)",
        rest=lambda t: _flattened_erfc(3 * (1 + t) / (1 - t)) - mpf(9) / 8,
        interval=lambda: (mpf(-1), mpf(25) / 31),
        share=lambda t: 1 / _flattened_erfc(3 * (1 + t) / (1 - t)),
    ),
)


@dataclass(frozen=True)
class Polynomial:
    """coefficients: highest power first, exact in the dtype; error: the largest relative error that it causes."""

    formula: str
    coefficients: tuple[float, ...]
    error: float


@dataclass(frozen=True)
class Format:
    """A floating-point format, and the constants that reduce arguments in it. All exact in the format."""

    dtype: str
    word: str  # the unsigned integers of its size
    bits: int  # of its fraction
    bias: int  # of its exponent
    polynomials: dict[str, Polynomial]

    @property
    def log2_e(self) -> float:
        return _rounded(1 / LOG2, self.dtype)

    @property
    def ln2_high(self) -> float:
        """The first half of the bits of log 2: its product with any exponent is exact."""
        return math.ldexp(round(math.ldexp(math.log(2), self.bits // 2)), -(self.bits // 2))

    @property
    def ln2_low(self) -> float:
        return _rounded(LOG2 - self.ln2_high, self.dtype)

    @property
    def low(self) -> float:
        """Below it e^x is less than half the smallest number."""
        return -math.ceil((self.bias + self.bits) * math.log(2))

    @property
    def high(self) -> float:
        """Above it e^x exceeds the largest number."""
        return math.ceil((self.bias + 1) * math.log(2))

    @property
    def tanh_far(self) -> float:
        return TANH_FAR

    @property
    def erf_far(self) -> float:
        return ERF_FAR

    @property
    def erfc_high(self) -> float:
        """Above it erfc(x) < e^(-x^2) is less than half the smallest number."""
        return math.ceil(math.sqrt(-self.low))

    @property
    def root_half(self) -> str:
        """The bits of the square root of a half."""
        return f"0x{np.sqrt(np.dtype(self.dtype).type(0.5)).view(self.word):X}"


def _rounded(value: mpf, dtype: str) -> float:
    """The number of this dtype nearest to the value (by way of float64, whose rounding is harmless)."""
    return float(np.dtype(dtype).type(float(value)))


def polynomial(remainder: Remainder, dtype: str) -> Polynomial:
    """The polynomial of least degree whose error in this dtype is below an eighth of a unit in the last place."""
    finest = mpf(float(np.finfo(dtype).eps)) / 16
    with mp.workdps(DIGITS):
        low, high = remainder.interval()
        points = [(t, remainder.rest(t), remainder.share(t)) for t in linspace(low, high, POINTS)]
        terms, error = 2, mpf(1)
        while error > finest:
            terms += 1
            fitted = chebyfit(remainder.rest, [low, high], terms)
            rounded = [_rounded(c, dtype) for c in fitted]
            error = max(fabs((polyval([mpf(c) for c in rounded], t) - rest) * share) for t, rest, share in points)
    return Polynomial(remainder.formula, tuple(rounded), float(error))


def formats() -> tuple[Format, ...]:
    """What templates/functions.py.j2 is rendered from: float32 and float64 with their polynomials."""
    described = (("float32", "uint32", 23, 127), ("float64", "uint64", 52, 1023))
    return tuple(Format(*one, {r.name: polynomial(r, one[0]) for r in REMAINDERS}) for one in described)
