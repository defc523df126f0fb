"""A line on standard error that is written over while a network trains."""

import sys
import time
from typing import Any

import numpy as np

SECONDS = 0.2  # between two looks of the line


class ProgressLine:
    """Epoch, loss, validation score and the time left; as a context, the line ends with the block."""

    def __init__(self, epochs: int, shown: bool) -> None:
        self.epochs, self.shown, self.began, self.last = epochs, shown, time.perf_counter(), 0.0

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(self, *error: Any) -> None:
        if self.shown:
            print(file=sys.stderr)

    def steps(self, epoch: int, share: float, losses: np.ndarray) -> None:
        """In an epoch, of which that share is done; ``losses`` are those of its steps so far."""
        if losses.size:
            self._write(epoch, share, f"{share:4.0%}  loss {losses[-100:].mean():.4f}", False)

    def epoch(self, epoch: int, history: dict[str, list[float]]) -> None:
        """After an epoch; the last one is always shown."""
        score = f"  validation {history['validation_score'][-1]:.4f}" if "validation_score" in history else ""
        self._write(epoch, 1.0, f"loss {history['loss'][-1]:.4f}{score}", epoch + 1 == self.epochs)

    def _write(self, epoch: int, share: float, text: str, always: bool) -> None:
        now = time.perf_counter()
        if not self.shown or (now - self.last < SECONDS and not always):
            return
        self.last, done = now, (epoch + share) / self.epochs
        left = (now - self.began) * (1 - done) / max(done, 1e-9)
        line = f"epoch {epoch + 1}/{self.epochs}  {text}  {left:.0f} s left"
        print(f"\r{line:<78}", end="", file=sys.stderr, flush=True)
