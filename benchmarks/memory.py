"""Memory of a training step: what is allocated for it, against what its equations need at once."""

import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np

from generated import Network, plan
from generated.program import Stage


def needed(stages: Sequence[Stage], kept: Sequence[np.ndarray]) -> int:
    """Bytes that stages need at once: what is ``kept`` from step to step, and every other array from the first stage that
    has it to the last."""
    whole = range(len(stages))
    uses = {a.ctypes.data: (whole, a.nbytes) for a in kept}
    for at, stage in enumerate(stages):
        for array in (a for call in stage.calls for a in call.arrays.values()):
            use, size = uses.get(array.ctypes.data, (range(at, at), 0))
            uses[array.ctypes.data] = (range(use.start, max(use.stop, at + 1)), max(size, array.nbytes))
    return max(sum(size for use, size in uses.values() if at in use) for at in whole)


def of_step(network: Network, X: np.ndarray, y: np.ndarray, **settings: Any) -> tuple[int, int]:
    """(bytes at the peak of planning and doing a network's first step, bytes that its equations need).

    NumPy tells tracemalloc what it allocates. The kernels are compiled before.
    """
    given = [(name, *sizes, settings) for name, sizes, settings in network.layers]
    fresh = Network(given, cost=network.cost.name if network.cost else None, dtype=network.dtype.name, random_state=0)
    network.fit(X, y, batch_size=len(X), epochs=1, **settings)
    seen: list[Sequence[Stage]] = []
    places = plan.placed
    plan.placed = lambda stages, arrays: (seen.append(stages), places(stages, arrays))[1]  # type: ignore[func-returns-value]
    tracemalloc.start()
    try:
        fresh.fit(X, y, batch_size=len(X), epochs=1, **settings)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        plan.placed = places
    kept = [a for layers in (fresh.parameters, fresh.states) for layer in layers for a in layer.values()]
    return peak, needed(seen[0], kept)
