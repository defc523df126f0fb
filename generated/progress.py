"""A line on standard error that is written over while a network trains."""

import sys
import time
from typing import Any

import numpy as np

SECONDS = 0.2  # between two looks of the line
CELLS = 20  # of the bar
WIDTH = 100  # characters of the line


class ProgressLine:
    """Epoch, rate, loss, validation score and the time left; as a context, the line ends with the block.

    epochs: how many there are in all; ``done``: how many of them a caller has behind it, who trains one after the other.
    samples: in an epoch.
    """

    def __init__(self, epochs: int, shown: bool, samples: int = 0, done: int = 0) -> None:
        self.epochs, self.shown, self.samples, self.done, self.first = epochs, shown, samples, done, done
        self.began, self.last = time.perf_counter(), 0.0

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(self, *error: Any) -> None:
        if self.shown:
            print(file=sys.stderr)

    def steps(self, epoch: int, share: float, losses: np.ndarray) -> None:
        """In an epoch, of which that share is done; ``losses`` are those of its steps so far."""
        if losses.size:
            self._write(epoch, share, f"loss {losses[-100:].mean():.4f}", False)

    def epoch(self, epoch: int, history: dict[str, list[float]]) -> None:
        """After an epoch; the last one is always shown."""
        score = f"  validation {history['validation_score'][-1]:.4f}" if "validation_score" in history else ""
        self._write(epoch, 1.0, f"loss {history['loss'][-1]:.4f}{score}", self.done + epoch + 1 == self.epochs)

    def clear(self) -> None:
        """Room for other lines; the next look is below them."""
        if self.shown:
            print(f"\r{'':<{WIDTH}}\r", end="", file=sys.stderr, flush=True)
            self.last = 0.0

    def _write(self, epoch: int, share: float, text: str, always: bool) -> None:
        now = time.perf_counter()
        if not self.shown or (now - self.last < SECONDS and not always):
            return
        self.last, epoch = now, self.done + epoch
        took, trained = now - self.began, epoch + share - self.first
        rate = f"  {trained * self.samples / max(took, 1e-9):,.0f} samples/s" if self.samples else ""
        left = took * (self.epochs - epoch - share) / max(trained, 1e-9)
        bar = f"{'=' * round(CELLS * share):<{CELLS}}"
        line = f"epoch {epoch + 1}/{self.epochs} [{bar}] {share:4.0%}{rate}  {text}  {_duration(left)} left"
        print(f"\r{line:<{WIDTH}}", end="", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    """A time as one reads it: 9 s, 2:05, 1:02:05."""
    whole = round(seconds)
    minutes, hours = whole // 60, whole // 3600
    if hours:
        return f"{hours}:{minutes % 60:02}:{whole % 60:02}"
    return f"{minutes}:{whole % 60:02}" if minutes else f"{whole} s"
