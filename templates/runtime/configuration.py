"""Darknet's ``.cfg`` files: the text of a network to the layers, the cost and the training that it states, and back.

    from generated.configuration import read_configuration

    configuration = read_configuration("lenet.cfg")
    network = configuration.network(random_state=0)

Each section of a file is one layer to Darknet, and may be several entries of Network here: a convolution, its
normalisation, its activation. The kinds of sections are in ``sections``, what a line may be in ``grammar``, what
becomes of the learning rate in ``policies``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import definition
from .files import written_whole
from .grammar import (
    CHARACTERS,
    MOST,
    ConfigurationError,
    Findings,
    Given,
    Key,
    count,
    flag,
    lines_of,
    number,
    numbers,
    sections_of,
    whole,
    wholes,
)
from .graph import parts_of
from .network import Network
from .policies import NEEDED, Policy, PolicyError
from .sections import HEADS, KINDS, NORMALISATIONS, Chain, Entry, Place, Written

__all__ = [
    "Augmentation", "Configuration", "ConfigurationError", "Training", "parse_configuration", "read_configuration",
    "write_configuration",
]  # fmt: skip


@dataclass(frozen=True)
class Training:
    """What ``[net]`` says of training.

    batch_size: the samples of one update. subdivisions: in how many parts they go forward and backward. policy: the
    learning rate of each update. momentum: None for a rule that has none. rule: the update rule's name, settings: its own.
    """

    batch_size: int
    subdivisions: int
    policy: Policy
    momentum: float | None
    weight_decay: float
    rule: str
    settings: dict[str, float]

    @property
    def learning_rate(self) -> float:
        """What the policy begins with."""
        return self.policy.learning_rate

    @property
    def max_batches(self) -> int:
        """How many updates it lasts, 0 where the file does not say."""
        return self.policy.max_batches


@dataclass(frozen=True)
class Augmentation:
    """How pictures are changed before they are learned from: ``[net]``'s keys, and those of the last detector's head.

    angle: turned by so many degrees at most. saturation, exposure: times a factor, one over it at least. hue: moved by so
    much of the circle at most. aspect: width over height times a factor. flip: mirrored or not. jitter: sides moved by so
    much of the picture at most. random: whether the input's size changes between batches. max_boxes: truths of a picture.
    """

    angle: float = 0.0
    aspect: float = 1.0
    saturation: float = 1.0
    exposure: float = 1.0
    hue: float = 0.0
    flip: int = 1
    jitter: float = 0.2
    random: float = 0
    max_boxes: int = 90


@dataclass(frozen=True)
class Configuration:
    """A network as a file states it.

    layers, cost: as Network takes them; cost is None where the file does not say, and for a detector, whose heads have
    their own. inputs: the shape of a sample, (channels, height, width) or (features,). normalisation: the layer that
    ``batch_normalize=1`` gives. sections: where each is in the file, and which layers are its own. kept: keys of [net]
    that nothing makes use of. warnings: what the file says in vain. obstacles: why Network cannot be built, if it cannot.
    """

    path: str
    layers: list[Entry]
    cost: str | None
    inputs: tuple[int, ...]
    training: Training
    augmentation: Augmentation
    normalisation: str
    sections: list[Place]
    kept: Mapping[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    obstacles: list[str] = field(default_factory=list)

    @property
    def places(self) -> list[tuple[int, str]]:
        """The line and the section that each of the layers comes from."""
        return [(one.line, one.name) for one in self.sections for _ in range(one.first, one.last)]

    @property
    def is_detector(self) -> bool:
        """Whether it finds objects in pictures."""
        return any(parts_of(entry)[0] in HEADS for entry in self.layers)

    def network(self, *, dtype: str = "float32", random_state: int | None = None, accuracy: str = "default") -> Network:
        """The network, with new parameters; the arguments are Network's.

        Raises ConfigurationError, naming the section's line, if it cannot be built.
        """
        if self.obstacles:
            raise ConfigurationError(self.obstacles[0])
        for entry, (line, name) in zip(self.layers, self.places, strict=True):
            if parts_of(entry)[0] not in (*definition.LAYERS, *definition.HEADS):
                raise ConfigurationError(f"{self.path}:{line}: [{name}] is read and written, but cannot be built here")
        try:
            return Network(
                self.layers,
                cost=self.cost,
                dtype=dtype,
                random_state=random_state,
                inputs=self.inputs,
                accuracy=accuracy,
            )
        except ValueError as error:
            if match := re.match(r"layer (\d+): ", str(error)):
                line, name = self.places[int(match[1]) - 1]
                raise ConfigurationError(f"{self.path}:{line}: [{name}] {str(error)[match.end() :]}") from error
            raise ConfigurationError(f"{self.path}: {error}") from error

    def text(self) -> str:
        """A file's text that states this; `parse_configuration` gives the same layers, inputs and training for it."""
        boxes = {name: getattr(self.augmentation, key) for name, key in BOXES.items()}
        net = lines_of("net", {**_written(self), **self.kept})
        return "\n".join([*net, *Written(self.layers, self.sections, boxes, self.cost).lines()]) + "\n"


def read_configuration(path: str | Path, normalisation: str = NORMALISATIONS[0]) -> Configuration:
    """The network that a file states. Raises ConfigurationError for a file that does not state one, OSError for none."""
    with open(path, "rb") as file:
        found = file.read(4 * CHARACTERS + 4)  # of more characters than a file may have
    try:
        text = found.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not a text in UTF-8: {error}") from error
    return parse_configuration(text, str(path), normalisation)


def parse_configuration(text: str, path: str = "<text>", normalisation: str = NORMALISATIONS[0]) -> Configuration:
    """The network that a text states; ``path`` is what errors call it. Raises ConfigurationError.

    normalisation: what ``batch_normalize=1`` gives, ``batch_norm_darknet`` (as Darknet's C code has it) or ``batch_norm``.
    """
    if normalisation not in NORMALISATIONS:
        raise ValueError(f"normalisation must be one of {', '.join(NORMALISATIONS)}, not {normalisation!r}")
    found = sections_of(text, path)
    if not found or found[0].name not in NET:
        where = found[0].place(None) if found else f"{path}: no section"
        raise ConfigurationError(f"{where}: the first section must be [net], then the layers' from input to output")
    net, *rest = found
    findings = Findings()
    said = net.checked(NET_KEYS, findings)
    inputs, training = _inputs(said), _training(said)
    chain = Chain(inputs[0] if len(inputs) == 3 else None, normalisation, findings)
    for one in rest:
        if one.name not in KINDS:
            names = ", ".join(sorted({kind.name for kind in KINDS.values()}))
            raise ConfigurationError(f"{path}:{one.line}: there is no section [{one.name}]; there are net, {names}")
        if chain.done:
            raise ConfigurationError(f"{path}:{one.line}: [{one.name}] comes after [cost], which must be the last one")
        kind = KINDS[one.name]
        chain.cost = chain.cost if kind.name == "cost" else None
        chain.read(kind, one.checked(kind.keys, findings))
    if not chain.entries:
        raise ConfigurationError(f"{path}:{net.line}: no layers after [{net.name}]; add sections, as [connected]")
    if chain.cost is None and not chain.head:
        findings.warnings.append(
            f"{rest[-1].place(None)} is the last section, and says nothing of what is learned; [softmax], [logistic], "
            "[cost] or a detector's head would"
        )
    augmentation = Augmentation(
        **{key: said[key] for key in PICTURES}, **{BOXES[name]: value for name, value in chain.boxes.items()}
    )
    return Configuration(
        path, chain.entries, chain.cost, inputs, training, augmentation, normalisation, chain.places, said.kept,
        findings.warnings, findings.obstacles,
    )  # fmt: skip


def write_configuration(configuration: Configuration, path: str | Path) -> None:
    """Write a configuration as a file, whole or not at all. Raises OSError if it cannot be written."""
    text = configuration.text().encode()
    with written_whole(path) as file:
        file.write(text)


# [net] ----------------------------------------------------------------------------------------------------------------

NET = ("net", "network")
PICTURES = ("angle", "aspect", "saturation", "exposure", "hue", "flip")
BOXES = {"jitter": "jitter", "random": "random", "max": "max_boxes"}  # a head's keys, by name here
ANY = float("-inf")
NET_KEYS = {
    "batch": count(1), "subdivisions": count(1), "height": whole(0), "width": whole(0), "channels": whole(0),
    "inputs": whole(None), "momentum": number(0.9), "decay": number(0.0001),
    "adam": flag(0), "B1": number(0.9, below=1.0), "B2": number(0.999, below=1.0), "eps": number(1e-7),
    "learning_rate": number(0.001), "burn_in": whole(0), "max_batches": whole(0), "power": number(4.0),
    "policy": Key(str, "the name of a policy", "constant"), "step": whole(None), "scale": number(None),
    "steps": wholes("the batches from which on a scale counts", -MOST), "scales": numbers("a factor for each of steps"),
    "gamma": number(None, ANY), "angle": number(0.0), "aspect": number(1.0), "saturation": number(1.0),
    "exposure": number(1.0), "hue": number(0.0), "flip": flag(1),
}  # fmt: skip


def _inputs(given: Given) -> tuple[int, ...]:
    """The shape of a sample."""
    planes = tuple(given[key] for key in ("channels", "height", "width"))
    row = given["inputs"]
    if row and any(planes) and row != planes[0] * planes[1] * planes[2]:
        given.refuse("inputs", f"channels, height and width are {' x '.join(map(str, planes))}; give them or inputs")
    if not row and not all(planes):
        missing = [key for key, size in zip(("channels", "height", "width"), planes, strict=True) if not size]
        given.refuse(None, f"must say what a sample is: add {', '.join(missing)}, or inputs for a row of values")
    return planes if all(planes) else (row,)


def _training(given: Given) -> Training:
    name = given["policy"]
    own = {key: given[key] for key in ("learning_rate", "burn_in", "power", "max_batches")}
    own |= {key: given[key] for key in NEEDED.get(name, ()) if given[key] is not None}
    try:
        policy = Policy(name=name, **own)
    except PolicyError as error:
        given.refuse(error.key, error.why)
    adam = {"beta1": given["B1"], "beta2": given["B2"], "epsilon": given["eps"]}
    return Training(
        batch_size=given["batch"],
        subdivisions=given["subdivisions"],
        policy=policy,
        momentum=None if given["adam"] else given["momentum"],
        weight_decay=given["decay"],
        rule="adam" if given["adam"] else "momentum_darknet",
        settings=adam if given["adam"] else {},
    )


def _written(configuration: Configuration) -> dict[str, Any]:
    """The values of [net]; of those that matter to few, only what is not the default."""
    training, pictures = configuration.training, configuration.augmentation
    policy = training.policy
    values: dict[str, Any] = {"batch": training.batch_size, "subdivisions": training.subdivisions}
    names = ("channels", "height", "width") if len(configuration.inputs) == 3 else ("inputs",)
    values |= zip(names, configuration.inputs, strict=True)
    if training.rule == "adam":
        named = {"B1": "beta1", "B2": "beta2", "eps": "epsilon"}
        values |= {"adam": 1, **{key: training.settings[own] for key, own in named.items()}}
    else:
        values["momentum"] = training.momentum
    values |= {"decay": training.weight_decay, "learning_rate": policy.learning_rate, "policy": policy.name}
    own = {key: getattr(policy, key) for key in ("burn_in", "power", "max_batches")}
    own |= {key: getattr(pictures, key) for key in PICTURES}
    values |= {key: value for key, value in own.items() if value != NET_KEYS[key].default}
    return values | {key: getattr(policy, key) for key in NEEDED[policy.name]}
