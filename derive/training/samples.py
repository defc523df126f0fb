"""What a training needs of its data, whatever a network learns from them: epochs, and a measure on what is held out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from derive.training.augmentation import KINDS, augmented
from derive.training.datasets import Dataset
from derive.training.folder import Settings
from generated import Network
from generated.progress import ProgressLine


class Samples(Protocol):
    """Data of one kind.

    name: what messages call them. held_out: how many are measured on, besides those to learn from (``len``). kinds: of
    augmentation that there are; usual: those that are used if nobody says which. measure: the name of the score in the
    history's column.
    """

    @property
    def name(self) -> str: ...

    @property
    def held_out(self) -> int: ...

    @property
    def kinds(self) -> tuple[str, ...]: ...

    @property
    def usual(self) -> tuple[str, ...]: ...

    @property
    def measure(self) -> str: ...

    def __len__(self) -> int: ...

    def check(self, network: Network) -> None:
        """Raises ValueError if the network cannot learn from these samples."""

    def epoch(self, network: Network, number: int, settings: Settings, line: ProgressLine, **fit: Any) -> None:
        """An epoch, counted from 0: all samples once, an entry more in each list of the network's history.

        fit: as for ``partial_fit``. Raises what that raises.
        """

    def score(self, value: float) -> str:
        """The measure and its value, as a line says it."""

    def leave(self, folder: Path) -> None:
        """Write beside the network what else it takes to use it."""


@dataclass(frozen=True)
class WholeDataset:
    """Samples that are arrays with their labels, or with numbers as targets."""

    data: Dataset
    kinds: ClassVar[tuple[str, ...]] = KINDS
    usual: ClassVar[tuple[str, ...]] = ()

    @property
    def name(self) -> str:
        return self.data.name

    @property
    def held_out(self) -> int:
        return 0 if self.data.X_test is None else len(self.data.X_test)

    @property
    def measure(self) -> str:
        return "accuracy" if self._has_labels else "score"

    @property
    def _has_labels(self) -> bool:
        return self.data.y.ndim == 1 and self.data.y.dtype.kind in "biuUS"

    def __len__(self) -> int:
        return len(self.data.X)

    def check(self, network: Network) -> None:
        """Raises ValueError if the network cannot tell all labels of the data apart."""
        first = np.unique(self.data.y, return_index=True)[1] if self._has_labels else np.zeros(1, int)
        network.loss(self.data.X[first], self.data.y[first])

    def epoch(self, network: Network, number: int, settings: Settings, line: ProgressLine, **fit: Any) -> None:
        data = self.data
        held = None if data.X_test is None else (data.X_test, data.y_test)
        X = augmented(data.X, settings.augment, settings.seed, number)
        network.partial_fit(X, data.y, validation_data=held, verbose=line, **fit)

    def score(self, value: float) -> str:
        return f"accuracy {value:.2%}" if self._has_labels else f"R^2 {value:.4f}"

    def leave(self, folder: Path) -> None:
        """Nothing: a network keeps its labels itself."""
