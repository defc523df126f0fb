"""YOLOv3-tiny, weights and pictures of noise: a forward pass and a training step of ours, PyTorch eager, Debian's darknet."""

import os
import re
import statistics
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numba
import numpy as np

from generated import Network
from generated.configuration import Configuration, parse_configuration
from generated.weights import write_weights

FOLDERS = ("/usr/share/darknet/cfg", os.path.join(os.environ.get("BACKDERIVE_DATA", ""), "cfg"))
CLASSES, BATCH, SIDE, TRAINING_SIDE = 80, 4, 416, 128
RULE: dict[str, Any] = {"learning_rate": 1e-4, "momentum": 0.9, "weight_decay": 5e-4}


def configuration_file() -> Path | None:
    """Where yolov3-tiny.cfg is on this machine, if it is."""
    return next((path for folder in FOLDERS if (path := Path(folder, "yolov3-tiny.cfg")).is_file()), None)


def configuration(side: int) -> Configuration:
    """The network for pictures of side x side; mini-batches of BATCH, rates and sizes that stay as they are."""
    path = configuration_file()
    assert path is not None
    text = path.read_text(encoding="utf-8")
    new = {"batch": BATCH, "width": side, "height": side, "burn_in": 0, "learning_rate": 1e-4, "random": 0}
    for key, value in new.items():
        text = re.sub(rf"(?m)^{key}\s*=.*$", f"{key}={value}", text)
    return parse_configuration(text, str(path))


def pictures(count: int, side: int) -> np.ndarray:
    """Pictures of noise: what is in them changes no time."""
    return np.random.default_rng(0).random((count, 3, side, side), dtype=np.float32)


def truths(count: int) -> np.ndarray:
    """Three boxes for each picture."""
    random = np.random.default_rng(1)
    boxes = random.uniform(0.2, 0.6, (count, 3, 4))
    return np.concatenate([random.integers(0, CLASSES, (count, 3, 1)), boxes], axis=2)


# Ours -----------------------------------------------------------------------------------------------------------------


def forward_ours(threads: int) -> Callable[[], Any]:
    """The predictions for one picture."""
    network, X = configuration(SIDE).network(random_state=0), pictures(1, SIDE)

    def run() -> None:
        numba.set_num_threads(threads)
        network.predictions(X)

    return run


def steps_ours(steps: int, threads: int) -> Callable[[], Any]:
    """So many training steps, cost of the heads and momentum as Darknet's."""
    network = configuration(TRAINING_SIDE).network(random_state=0)
    X, y = pictures(steps * BATCH, TRAINING_SIDE), truths(steps * BATCH)

    def run() -> None:
        numba.set_num_threads(threads)
        network.partial_fit(X, y, batch_size=BATCH, rule="momentum_darknet", **RULE)

    return run


# PyTorch --------------------------------------------------------------------------------------------------------------


def as_pytorch(layers: Sequence[str | tuple], channels: int) -> Any:
    """The same layers as a module that gives the planes the heads would read."""
    from torch import cat, nn

    steps: list[tuple[nn.Module | None, list[int]]] = []  # None: the values that it reads, one after the other
    given: list[int] = []  # channels of each value
    for number, entry in enumerate(layers):
        name, *sizes = entry if isinstance(entry, tuple) else (entry,)
        settings = sizes.pop() if sizes and isinstance(sizes[-1], dict) else {}
        reads = settings.get("layers", [number - 1])
        channels = sum(given[k] for k in reads) if number else channels
        match name:
            case "convolution":
                filters, size = sizes
                bias = settings.get("bias", True)
                made = nn.Conv2d(channels, filters, size, settings["stride"], settings["padding"], bias=bias)
                steps.append((made, reads))
                channels = filters
            case "batch_norm_darknet":
                steps.append((nn.BatchNorm2d(channels), reads))
            case "leaky":
                steps.append((nn.LeakyReLU(0.1, inplace=True), reads))
            case "max_pooling":  # a row and a column beyond the plane count only where the stride is 1
                size, stride = settings["size"], settings["stride"]
                pool = nn.MaxPool2d(size, stride)
                steps.append((nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), pool) if stride == 1 else pool, reads))
            case "upsample":
                steps.append((nn.Upsample(scale_factor=settings["stride"]), reads))
            case "route" | "yolo":
                steps.append((None, reads))
            case _:
                raise ValueError(f"{name!r} has no counterpart here")
        given.append(channels)
    heads = [number for number, entry in enumerate(layers) if entry[0] == "yolo"]
    later = {k: max(n for n, (_, reads) in enumerate(steps) if k in reads) for k in {k for _, r in steps for k in r}}

    class Peer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList(made for made, _ in steps if made)

        def forward(self, x: Any) -> list[Any]:
            values, found = {-1: x}, []
            for number, (made, reads) in enumerate(steps):
                read = [values[k] for k in reads]
                whole = read[0] if len(read) == 1 else cat(read, 1)
                values[number] = made(whole) if made else whole
                found += [whole] if number in heads else []
                values = {k: value for k, value in values.items() if later.get(k, k) > number or k == number}
            return found

    return Peer()


def _peer(side: int, count: int, layout: str) -> tuple[Any, Any]:
    """(the network, so many pictures) in PyTorch."""
    import torch

    form = getattr(torch, layout)
    stated = configuration(side)
    return (
        as_pytorch(stated.layers, stated.inputs[0]).to(memory_format=form),
        torch.from_numpy(pictures(count, side)).to(memory_format=form),
    )


def forward_pytorch(threads: int, layout: str) -> Callable[[], Any]:
    """The planes of both heads for one picture, in inference mode."""
    import torch

    network, X = _peer(SIDE, 1, layout)
    network.eval()

    def run() -> None:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            network(X)

    return run


def steps_pytorch(steps: int, threads: int, layout: str) -> Callable[[], Any]:
    """So many training steps; the squares of the heads' planes are the cost, which takes less than YOLO's."""
    import torch

    network, X = _peer(TRAINING_SIDE, steps * BATCH, layout)
    descent = torch.optim.SGD(network.parameters(), RULE["learning_rate"], RULE["momentum"], 0, RULE["weight_decay"])

    def run() -> None:
        torch.set_num_threads(threads)
        for samples in X.split(BATCH):
            descent.zero_grad()
            (sum(planes.square().sum() for planes in network(samples)) / BATCH).backward()
            descent.step()

    return run


# Darknet --------------------------------------------------------------------------------------------------------------


class Darknet:
    """Debian's darknet, run as a command in a folder of its own, the seconds being those that it prints."""

    def __init__(self, folder: Path, steps: int) -> None:
        from PIL import Image

        self.folder = folder
        for name, side in (("forward", SIDE), ("training", TRAINING_SIDE)):
            text = configuration(side).text()
            (folder / f"{name}.cfg").write_text(re.sub(r"(?m)^max_batches.*$", f"max_batches={steps}", text))
        network: Network = configuration(SIDE).network(random_state=0)
        write_weights(network, folder / "forward.weights")
        values = (pictures(BATCH, SIDE) * 255).astype(np.uint8).transpose(0, 2, 3, 1)
        for number, (picture, boxes) in enumerate(zip(values, truths(BATCH), strict=True)):
            Image.fromarray(picture).save(folder / f"{number}.png")
            rows = [" ".join([str(int(box[0])), *(f"{x:.4f}" for x in box[1:])]) for box in boxes]
            (folder / f"{number}.txt").write_text("\n".join(rows) + "\n")
        (folder / "pictures.txt").write_text("".join(f"{folder / str(number)}.png\n" for number in range(BATCH)))
        (folder / "names.txt").write_text("".join(f"{number}\n" for number in range(CLASSES)))
        (folder / "noise.data").write_text(
            f"classes={CLASSES}\ntrain=pictures.txt\nvalid=pictures.txt\nnames=names.txt\nbackup={folder}\n"
        )

    def forward(self) -> float:
        """Seconds of a forward pass."""
        asked = ("forward.cfg", "forward.weights", "0.png", "-out", "found", "-thresh", "0.9")
        return self._seconds(r"Predicted in ([\d.]+) seconds", "test", *asked)

    def step(self) -> float:
        """Seconds of a training step."""
        return self._seconds(r"rate, ([\d.]+) seconds", "train", "training.cfg", "-clear")

    def _seconds(self, pattern: str, what: str, *arguments: str) -> float:
        """The median of what a run prints."""
        command = ["darknet", "detector", what, "noise.data", *arguments]
        quiet = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
        done = subprocess.run(command, cwd=self.folder, env=quiet, capture_output=True, text=True, timeout=600)
        found = re.findall(pattern, done.stdout)
        if not found:
            raise RuntimeError(f"{' '.join(command)} printed no time: {done.stderr[-500:]}")
        return statistics.median(map(float, found))
