"""The folder that a training leaves: the network after its last whole epoch, its history, its settings."""

import csv
import io
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from derive.files import write_whole
from generated import Network
from generated.choice import ACCURACIES, DEFAULT
from generated.sections import NORMALISATIONS

NETWORK, HISTORY, SETTINGS = "network.npz", "history.csv", "settings.json"
AUGMENTATIONS = ("flip", "shift", "jitter", "colour")  # of any data; which there are for some, these say
SCHEDULES = ("policy", "constant", "cosine")


@dataclass(frozen=True)
class Settings:
    """What a training was asked for. momentum: None for a rule that has none."""

    data: str
    epochs: int
    batch_size: int
    subdivisions: int
    learning_rate: float
    momentum: float | None
    weight_decay: float
    schedule: str
    augment: tuple[str, ...]
    normalisation: str
    seed: int
    accuracy: str = DEFAULT

    def write(self, folder: Path) -> None:
        """Raises ValueError if the file cannot be written."""
        write_whole(folder / SETTINGS, json.dumps(asdict(self), indent=2) + "\n")


def read_settings(folder: Path) -> Settings:
    """What a training in this folder was asked for. Raises ValueError if there was none, or its file is damaged."""
    path = folder / SETTINGS
    if not path.is_file() or not (folder / NETWORK).is_file():
        raise ValueError(f"{folder}: no training to go on with: it has no {SETTINGS} and {NETWORK}; leave out --resume")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            found.setdefault("accuracy", DEFAULT)  # files of before do not say
        if not isinstance(found, dict) or found.keys() != {f.name for f in fields(Settings)}:
            raise ValueError(f"it must hold {', '.join(f.name for f in fields(Settings))}")
        settings = Settings(**{**found, "augment": tuple(found["augment"])})
        right = (
            isinstance(settings.data, str)
            and all(type(n) is int and n > 0 for n in (settings.epochs, settings.batch_size, settings.subdivisions))
            and type(settings.seed) is int
            and settings.seed >= 0
            and settings.schedule in SCHEDULES
            and settings.normalisation in NORMALISATIONS
            and settings.accuracy in ACCURACIES
            and set(settings.augment) <= set(AUGMENTATIONS)
        )
        numbers = [float(settings.learning_rate), float(settings.momentum or 0), float(settings.weight_decay)]
        if not right or min(numbers) < 0:
            raise ValueError("a value is out of its range")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: not the settings of a training: {' '.join(str(error).split())}") from error
    return settings


class History:
    """A table of the epochs, a line each, on disk as soon as the epoch is done."""

    def __init__(self, folder: Path, history: dict[str, list[float]], score: str) -> None:
        """Begins with the epochs there have been; ``score`` is the name of what the test samples measure."""
        self.path, self.columns = folder / HISTORY, ["epoch", "loss", "seconds", "test_loss", f"test_{score}"]
        lines = [self._line(history, epoch) for epoch in range(len(history.get("loss", [])))]
        write_whole(self.path, ",".join(self.columns) + "\n" + "".join(lines))

    def add(self, history: dict[str, list[float]]) -> None:
        """The last epoch."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(self._line(history, len(history["loss"]) - 1))

    def _line(self, history: dict[str, list[float]], epoch: int) -> str:
        values = [history.get(name, []) for name in ("loss", "seconds", "validation_loss", "validation_score")]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(
            [epoch + 1, *(f"{column[epoch]:.9g}" if column else "" for column in values)]
        )
        return text.getvalue()


def network_in(path: str | Path) -> Path:
    """The file of a network: itself, or that in the folder of a training."""
    return Path(path) / NETWORK if Path(path).is_dir() else Path(path)


def same_network(one: Network, other: Network) -> bool:
    """Whether two networks have the same layers, cost and inputs; a file has tuples as lists."""
    costs = [network.cost and network.cost.name for network in (one, other)]
    layers = [json.dumps([network.layers, network.inputs]) for network in (one, other)]
    return costs[0] == costs[1] and layers[0] == layers[1]
