"""Learning-rate policies: the rate of each batch of a training, as Darknet's files ask for it.

A batch is what one update is made of; batches count from 1, and on through all epochs. The formulas, with ``rate`` the
learning rate of ``[net]`` and ``b`` the number of the batch (pjreddie/darknet, ``src/network.c``, ``get_current_rate``):

========  ==============================================  ==========================
constant  ``rate``
step      ``rate * scale ** floor(b / step)``             step, scale
steps     ``rate`` times each scale whose step is reached steps, scales
exp       ``rate * gamma ** b``                           gamma
poly      ``rate * (1 - b / max_batches) ** power``       max_batches, power
sigmoid   ``rate / (1 + exp(gamma * (b - step)))``        step, gamma
random    ``rate * u ** power``, u uniform in [0, 1)      power
burn-in   ``rate * (b / burn_in) ** power``, b < burn_in  whatever comes afterwards
========  ==============================================  ==========================
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

NEEDED = {
    "constant": (), "step": ("step", "scale"), "steps": ("steps", "scales"), "exp": ("gamma",), "poly": ("max_batches",),
    "sigmoid": ("step", "gamma"), "random": (),
}  # fmt: skip


class PolicyError(ValueError):
    """A setting that a policy cannot have; ``key`` names it, ``why`` says what would be right."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(f"{key}: {why}")
        self.key, self.why = key, why


@dataclass(frozen=True)
class Policy:
    """A policy and its settings, by their names in ``[net]``; seed: of what ``random`` draws, a draw for each batch.

    Raises PolicyError for a name that is not known, or a setting that is missing or does not fit.
    """

    learning_rate: float = 0.001
    name: str = "constant"
    burn_in: int = 0
    power: float = 4.0
    max_batches: int = 0
    step: int | None = None
    scale: float | None = None
    steps: tuple[int, ...] = ()
    scales: tuple[float, ...] = ()
    gamma: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.name not in NEEDED:
            raise PolicyError("policy", f"must be one of {', '.join(NEEDED)}")
        for key in NEEDED[self.name]:
            value = getattr(self, key)
            if value is None or value == () or (key in ("step", "max_batches") and value < 1):
                raise PolicyError(key, f"policy={self.name} needs {' and '.join(NEEDED[self.name])}")
        if self.name == "steps" and len(self.steps) != len(self.scales):
            raise PolicyError(
                "scales",
                f"policy=steps has {len(self.steps)} steps and {len(self.scales)} scales; give one for each step",
            )

    def rates(self, first: int, count: int) -> np.ndarray:
        """The learning rates of ``count`` batches from number ``first`` on, float64."""
        batches = np.arange(first, first + count, dtype=np.float64)
        with np.errstate(over="ignore", under="ignore"):
            factors = FACTORS[self.name](self, batches)
            burning = batches < self.burn_in
            factors[burning] = (batches[burning] / max(self.burn_in, 1)) ** self.power
            return self.learning_rate * factors

    def rate(self, batch: int) -> float:
        """The learning rate of one batch."""
        return float(self.rates(batch, 1)[0])


def _steps(policy: Policy, batches: np.ndarray) -> np.ndarray:
    reached = np.maximum.accumulate(policy.steps)  # a step that is not reached ends the list, as in Darknet
    products = np.cumprod((1.0, *policy.scales))
    return products[np.searchsorted(reached, batches, side="right")]


def _poly(policy: Policy, batches: np.ndarray) -> np.ndarray:
    left = np.maximum(
        1 - batches / policy.max_batches, 0
    )  # the training ends at max_batches; after that nothing is left
    return left**policy.power


def _random(policy: Policy, batches: np.ndarray) -> np.ndarray:
    drawn = [np.random.default_rng([policy.seed, int(batch)]).random() for batch in batches]
    return np.array(drawn, np.float64) ** policy.power


FACTORS: dict[str, Callable[[Policy, np.ndarray], np.ndarray]] = {
    "constant": lambda policy, batches: np.ones_like(batches),
    "step": lambda policy, batches: policy.scale ** (batches // policy.step),
    "steps": _steps,
    "exp": lambda policy, batches: policy.gamma**batches,
    "poly": _poly,
    "sigmoid": lambda policy, batches: 1 / (1 + np.exp(policy.gamma * (batches - policy.step))),
    "random": _random,
}
