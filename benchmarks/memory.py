"""Memory of a training step: what is allocated for it, against what its equations need at once."""

import tracemalloc
from collections.abc import Sequence

import numpy as np

from generated import Network
from generated.plan import Plan


def needed(plan: Plan, kept: Sequence[np.ndarray]) -> int:
    """Bytes that a step needs at once: what is ``kept`` from step to step, and every other array from where a kernel first
    writes it to where one last reads it."""
    calls = [call for stage in plan.stages for call in stage.calls]
    uses: dict[int, tuple[int, int, int]] = {a.ctypes.data: (0, len(calls), a.nbytes) for a in kept}
    for at, call in enumerate(calls):
        for array in call.arrays.values():
            first, last, size = uses.get(array.ctypes.data, (at, at, 0))
            uses[array.ctypes.data] = (first, max(last, at), max(size, array.nbytes))
    return max(sum(size for first, last, size in uses.values() if first <= at <= last) for at in range(len(calls)))


def of_step(network: Network, X: np.ndarray, y: np.ndarray, **settings: float) -> tuple[int, int]:
    """(bytes allocated at the peak of building a network's step and running it, bytes that its equations need)."""
    network.fit(X, y, batch_size=len(X), epochs=1, **settings)  # compiles
    fresh = Network(network.layers_as_given, cost=network.cost.name, dtype=network.dtype.name, random_state=0)
    tracemalloc.start()
    fresh.fit(X, y, batch_size=len(X), epochs=1, **settings)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak, 0
