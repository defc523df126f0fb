from dataclasses import dataclass
from collections.abc import Callable
@dataclass(frozen=True)
class Filtering:
    m: int
    r: int
    data: Callable
    filters: Callable
    outputs: Callable
    sensitivities: Callable
    gradients: Callable
    growth: float
    growth_2d: float
    @property
    def n(self): return self.m + self.r - 1
