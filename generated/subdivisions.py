"""A step in parts: a mini-batch that goes forward and backward part by part, and updates the parameters once."""

from collections.abc import Sequence

import numpy as np

from .plan import Plan
from .program import Program


def part_sizes(batch: int, subdivisions: int) -> list[int]:
    """The sizes of so many parts, as equal as can be; as many parts as samples, if that are fewer."""
    count = min(batch, subdivisions)
    return [(batch + later) // count for later in reversed(range(count))]


class Divided:
    """Stands in for the Program of a whole mini-batch.

    The mean gradient of the batch is the sum of the parts' mean gradients, each times the part's share of the batch. Running
    statistics move once a part, as in Darknet, whose layers see no more than a part at a time.

    parts: plan and program of each, which leave their gradients in ``gradients``. update: the rule on these; its step's
    number is ``clock``.
    """

    def __init__(
        self, parts: Sequence[tuple[Plan, Program]], gradients: Sequence[np.ndarray], update: Program, clock: np.ndarray
    ) -> None:
        self.parts, self.gradients, self.update = list(parts), list(gradients), update
        self.update.steps_done = self.clock = clock
        self.totals = [np.zeros_like(gradient) for gradient in self.gradients]

    def run_steps(
        self,
        data: Sequence[np.ndarray],
        order: np.ndarray,
        first: int,
        last: int,
        losses: np.ndarray,
        rates: np.ndarray | None = None,
        rate: np.ndarray | None = None,
    ) -> int:
        """As :meth:`Program.run_steps`."""
        sizes = [len(plan.inputs) for plan, _ in self.parts]
        seed, loss = self.parts[0][0].seed[0], np.zeros(1)
        for step in range(first, last):
            if rates is not None and rate is not None:
                rate[0] = rates[step]
            losses[step], begin = 0, step * sum(sizes)
            for number, ((plan, program), size) in enumerate(zip(self.parts, sizes, strict=True)):
                plan.seed[0], plan.clock[0] = seed, self.clock[0] * len(sizes) + number  # other draws for every part
                program.run_steps(data, order[begin : begin + size], 0, 1, loss)
                begin += size
                losses[step] += loss[0] * size / sum(sizes)
                if not np.isfinite(losses[step]):
                    return step
                for total, gradient in zip(self.totals, self.gradients, strict=True):
                    gradient *= size / sum(sizes)
                    total += gradient
            for total, gradient in zip(self.totals, self.gradients, strict=True):
                gradient[...] = total
                total[...] = 0
            self.update.run()
        return last
