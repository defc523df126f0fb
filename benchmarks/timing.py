"""Interleaved timing: in each round every candidate runs once, one after the other; ratios are taken round by round.

Machines are shared and their speed drifts: a ratio of two runs that stand side by side means more than either time.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Spread:
    """Median, and the quartiles about it."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g})"

    def json(self) -> dict[str, float]:
        """The three numbers, to four digits."""
        return {key: float(f"{value:.4g}") for key, value in asdict(self).items()}


def spread(values: list[float]) -> Spread:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return Spread(middle, low, high)


def interleaved(
    candidates: dict[str, Callable[[], object]], rounds: int, warmup: int = 2, ahead: int = 0
) -> dict[str, list[float]]:
    """Seconds of each call, by candidate, in rounds that run every candidate once.

    A call that gives a float has measured itself, as what runs in another process does. ahead: how often each candidate is
    called right before, unmeasured: for calls of a few ms, which the idle threads of the library before would disturb.
    """
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(warmup + rounds):
        for name, call in candidates.items():
            for _ in range(ahead):
                call()
            began = time.perf_counter()
            found = call()
            if number >= warmup:
                seconds[name].append(found if isinstance(found, float) else time.perf_counter() - began)
    return seconds


def ratios(ours: list[float], theirs: list[float]) -> Spread:
    """Our time over theirs, round by round."""
    return spread([a / b for a, b in zip(ours, theirs, strict=True)])
