"""Train the network of a `.cfg` file on data, epoch by epoch. `derive train` is this file."""

import math
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from derive.training.datasets import read_dataset
from derive.training.folder import NETWORK, SCHEDULES, History, Settings, read_settings, same_network
from derive.training.samples import Samples, WholeDataset
from generated import DivergedError, Network, load
from generated.choice import DEFAULT
from generated.configuration import Augmentation, Configuration, read_configuration
from generated.policies import Policy
from generated.progress import ProgressLine
from generated.sections import NORMALISATIONS

EPOCHS = 10  # where neither the command nor max_batches in the file says how many


@dataclass(frozen=True)
class Asked:
    """What the command line says of a training; None where it says nothing. names: a file with those of a detector."""

    data: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    subdivisions: int | None = None
    learning_rate: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    schedule: str | None = None
    augment: tuple[str, ...] | None = None
    normalisation: str | None = None
    seed: int | None = None
    names: Path | None = None
    accuracy: str | None = None


def train(network_file: Path, asked: Asked, output: Path | None = None, *, resume: bool = False) -> int:
    """Train, and leave in ``output`` the network after each epoch, and the history.

    With ``resume``, a training that was interrupted goes on, to the bit as if it had not been. Returns the exit code: 0;
    1 if the loss became infinite or NaN; 130 after Ctrl-C. Raises ValueError or OSError for bad input.
    """
    folder = output or Path("derive-train", network_file.stem)
    said = read_settings(folder).normalisation if resume else NORMALISATIONS[0]
    configuration = read_configuration(network_file, asked.normalisation or said)
    for warning in _warnings(configuration):
        print(f"warning: {warning}", file=sys.stderr)
    if resume:
        settings, network = _left(folder, asked, configuration)
        data = _samples(network, configuration, settings.data, settings.seed, asked.names, folder)
        _check_augmentation(settings.augment, data)
    else:
        seed = asked.seed or 0
        if asked.data is None:
            raise ValueError("give the data to learn from: --data FOLDER, --data FILE or --data digits")
        network = configuration.network(random_state=seed, accuracy=asked.accuracy or DEFAULT)
        _refuse_to_overwrite(folder)
        data = _samples(network, configuration, asked.data, seed, asked.names)
        try:
            data.check(network)
        except ValueError as error:
            raise ValueError(f"{configuration.path} cannot learn from {data.name}: {error}") from error
        settings = _settings(asked, asked.data, seed, configuration, data)
        _check_augmentation(settings.augment, data)
        folder.mkdir(parents=True, exist_ok=True)
        with _undisturbed():
            network.save(folder / NETWORK)
            data.leave(folder)
    settings.write(folder)
    _announce(network, data, configuration.path)
    return _epochs(network, data, configuration, settings, folder)


def _warnings(configuration: Configuration) -> list[str]:
    """Those of the file; and what it says of pictures, where no detector makes use of it."""
    usual, said = vars(Augmentation()), vars(configuration.augmentation)
    idle = [] if configuration.is_detector else [key for key, value in said.items() if value != usual[key]]
    told = [f"{configuration.path}: [net] {', '.join(idle)}: of use to detectors alone; see --augment"] if idle else []
    return configuration.warnings + told


def _samples(
    network: Network, configuration: Configuration, source: str, seed: int, names: Path | None, left: Path | None = None
) -> Samples:
    """The data of a network: pictures with truths for a detector. left: the folder of a training to go on with."""
    if not network.is_detector:
        if names is not None:
            raise ValueError(f"--names is for detectors; {configuration.path} is none")
        return WholeDataset(read_dataset(source, configuration.inputs, seed))
    from derive.detection.examples import read_examples

    data, warnings = read_examples(source, configuration, names, left)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return data


def _check_augmentation(kinds: tuple[str, ...], data: Samples) -> None:
    """Raises ValueError for a kind that these samples know nothing of."""
    if strange := sorted(set(kinds) - set(data.kinds)):
        raise ValueError(f"--augment {','.join(strange)}: for {data.name} there are {', '.join(data.kinds)}, or none")


def _settings(asked: Asked, source: str, seed: int, configuration: Configuration, data: Samples) -> Settings:
    """What the command line says, else the file, else the usual."""
    said = configuration.training

    def chosen(given, otherwise):
        return otherwise if given is None else given

    batch_size = chosen(asked.batch_size, said.batch_size)
    lasting = math.ceil(said.max_batches / _steps(len(data), batch_size)) or EPOCHS
    return Settings(
        data=source,
        epochs=chosen(asked.epochs, lasting),
        batch_size=batch_size,
        subdivisions=chosen(asked.subdivisions, said.subdivisions),
        learning_rate=chosen(asked.learning_rate, said.learning_rate),
        momentum=chosen(asked.momentum, said.momentum),
        weight_decay=chosen(asked.weight_decay, said.weight_decay),
        schedule=asked.schedule or SCHEDULES[0],
        augment=chosen(asked.augment, data.usual),
        normalisation=configuration.normalisation,
        seed=seed,
        accuracy=asked.accuracy or DEFAULT,
    )


def _left(folder: Path, asked: Asked, configuration: Configuration) -> tuple[Settings, Network]:
    """What an earlier training left; what the command line says anew counts. Raises ValueError if it was another one."""
    settings, network = read_settings(folder), load(folder / NETWORK)
    if not same_network(configuration.network(random_state=settings.seed), network):
        raise ValueError(f"{folder / NETWORK} is not the network of {configuration.path}; give another --output")
    if asked.seed not in (None, settings.seed) or network.random_state != settings.seed:
        raise ValueError(f"{folder}: this training began with --seed {network.random_state}; it cannot change")
    said = {name: value for name, value in vars(asked).items() if value is not None and name != "names"}
    settings = replace(settings, **said)
    network.accuracy = settings.accuracy
    return settings, network


def _refuse_to_overwrite(folder: Path) -> None:
    """Raises ValueError if the folder is a file, or holds a network that has learned something."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: this is a file; give --output a folder")
    if (folder / NETWORK).exists() and load(folder / NETWORK).history_:
        raise ValueError(f"{folder}: there is a trained network already; add --resume to go on, or another --output")


def _announce(network: Network, data: Samples, path: str) -> None:
    learned = sum(p.size for layer in network.parameters for p in layer.values())
    held = f"{data.held_out:,} held out" if data.held_out else "none held out"
    print(f"{path}: {len(network.layers)} layers, {learned:,} parameters", file=sys.stderr)
    print(f"{data.name}: {len(data):,} samples to learn from, {held}", file=sys.stderr)


def _steps(samples: int, batch_size: int) -> int:
    """The updates of an epoch."""
    return math.ceil(samples / batch_size)


def rates_of(settings: Settings, policy: Policy, epoch: int, steps: int) -> np.ndarray:
    """The learning rates of the steps of an epoch, counted from 0.

    As the file's policy has them, whose batches count on from epoch to epoch; or constant; or falling from epoch to epoch
    along half a cosine.
    """
    if settings.schedule == "policy":
        policy = replace(policy, learning_rate=settings.learning_rate, seed=settings.seed)
        return policy.rates(1 + epoch * steps, steps)
    falling = (1 + math.cos(math.pi * epoch / settings.epochs)) / 2 if settings.schedule == "cosine" else 1.0
    return np.full(steps, settings.learning_rate * falling)


def _epochs(network: Network, data: Samples, configuration: Configuration, settings: Settings, folder: Path) -> int:
    """The epochs that are left; the exit code."""
    done = len(network.history_.get("loss", []))
    table = History(folder, network.history_, data.measure)
    line = ProgressLine(settings.epochs, sys.stderr.isatty(), len(data), done)
    training, steps = configuration.training, _steps(len(data), settings.batch_size)
    more: dict[str, Any] = training.settings
    try:
        for epoch in range(done, settings.epochs):
            line.done = epoch
            data.epoch(
                network, epoch, settings, line, batch_size=settings.batch_size, subdivisions=settings.subdivisions,
                learning_rate=rates_of(settings, training.policy, epoch, steps), momentum=settings.momentum,
                weight_decay=settings.weight_decay, rule=training.rule, **more,
            )  # fmt: skip
            with _undisturbed():
                network.save(folder / NETWORK)
                table.add(network.history_)
            line.clear()
            print(_epoch_line(network.history_, settings.epochs, data), file=sys.stderr, flush=True)
    except (KeyboardInterrupt, DivergedError) as error:
        left = len(load(folder / NETWORK).history_.get("loss", []))
        line.clear()
        said = str(error) if isinstance(error, DivergedError) else "interrupted; --resume goes on"
        print(f"{said}. {folder / NETWORK}: {left} of {settings.epochs} epochs, all whole", file=sys.stderr)
        return 1 if isinstance(error, DivergedError) else 130
    except ValueError as error:
        raise ValueError(f"{configuration.path} cannot learn from {data.name}: {error}") from error
    _conclude(network, data, folder, settings.epochs, done)
    return 0


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C waits until the block is done: in the middle of a file it may leave more than one error behind."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python tells other threads nothing of signals
        return
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        yield  # as in the background: it does not count
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt


def _epoch_line(history: dict[str, list[float]], epochs: int, data: Samples) -> str:
    done = len(history["loss"])
    said = f"epoch {done:>{len(str(epochs))}}/{epochs}  {history['seconds'][-1]:.2f} s  loss {history['loss'][-1]:.4f}"
    if "validation_loss" in history:
        said += f"  test loss {history['validation_loss'][-1]:.4f}  test {data.score(history['validation_score'][-1])}"
    return said


def _conclude(network: Network, data: Samples, folder: Path, epochs: int, done: int) -> None:
    history = network.history_
    if done >= epochs:
        print(f"all of {epochs} epochs are done already; --epochs {2 * epochs} would go on")
    print(f"{len(history.get('loss', []))} epochs in {sum(history.get('seconds', [])):,.2f} s of training")
    if "validation_score" in history:
        score = data.score(history["validation_score"][-1])
        print(f"held-out samples: loss {history['validation_loss'][-1]:.4f}, {score}")
    print(f"network: {folder / NETWORK}")
