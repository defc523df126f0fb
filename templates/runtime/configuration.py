"""Darknet's ``.cfg`` files: the text of a network to the layers, the cost and the training that it states.

    from generated.configuration import read_configuration

    configuration = read_configuration("lenet.cfg")
    network = configuration.network(random_state=0)

Each section of a file is one layer to Darknet, and may be several entries of Network here: a convolution, its
normalisation, its activation. What a section's keys are, and which entries it makes, is one function below, under
``@section``. Keys, defaults and the counting of layers are Darknet's (pjreddie/darknet, ``src/parser.c``).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from .definition import COSTS, LAYERS, tensor
from .network import Network

Entry = str | tuple
MOST = 2**31 - 1  # of a whole number in a file
RENAMED = {"hardtan": "hardtanh"}  # activations that have another name here


class ConfigurationError(ValueError):
    """A file is not what it must be; the message names file, line, section, key, and what would be right."""


@dataclass(frozen=True)
class Training:
    """What ``[net]`` says of training. max_batches: how many mini-batches it lasts, 0 where it does not say."""

    batch_size: int
    learning_rate: float
    momentum: float | None
    weight_decay: float
    max_batches: int
    rule: str | None
    settings: dict[str, float]


@dataclass(frozen=True)
class Configuration:
    """A network as a file states it.

    layers, cost: as Network takes them. inputs: the shape of a sample, (channels, height, width) or (features,).
    places: the line and the section that each of the layers comes from. warnings: what the file says in vain.
    """

    path: str
    layers: list[Entry]
    cost: str
    inputs: tuple[int, ...]
    training: Training
    places: list[tuple[int, str]]
    warnings: list[str]

    def network(self, *, dtype: str = "float32", random_state: int | None = None) -> Network:
        """The network, with new parameters. Raises ConfigurationError, naming the section's line, if it cannot be built."""
        try:
            return Network(self.layers, cost=self.cost, dtype=dtype, random_state=random_state, inputs=self.inputs)
        except ValueError as error:
            if match := re.match(r"layer (\d+): ", str(error)):
                line, name = self.places[int(match[1]) - 1]
                raise ConfigurationError(f"{self.path}:{line}: [{name}] {str(error)[match.end() :]}") from error
            raise ConfigurationError(f"{self.path}: {error}") from error


def read_configuration(path: str | Path) -> Configuration:
    """The network that a file states. Raises ConfigurationError for a file that does not state one, OSError for none."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not a text in UTF-8: {error}") from error
    return parse_configuration(text, str(path))


def parse_configuration(text: str, path: str = "<text>") -> Configuration:
    """The network that a text states; ``path`` is what errors call it. Raises ConfigurationError."""
    found = _sections(text, path)
    if not found or found[0].name not in NET:
        where = f"{path}:{found[0].line}: [{found[0].name}]" if found else f"{path}: no section"
        raise ConfigurationError(f"{where}: the first section must be [net], then the layers' from input to output")
    net, *rest = found
    warnings: list[str] = []
    inputs, training = _net(net.checked(NET_KEYS, warnings), warnings)
    chain = Chain(channels=inputs[0] if len(inputs) == 3 else None)
    for one in rest:
        if one.name not in SECTIONS:
            names = ", ".join(sorted({kind.name for kind in SECTIONS.values()}))
            raise ConfigurationError(f"{path}:{one.line}: there is no section [{one.name}]; there are net, {names}")
        if chain.done:
            raise ConfigurationError(f"{path}:{one.line}: [{one.name}] comes after [cost], which must be the last one")
        kind = SECTIONS[one.name]
        chain.cost = chain.cost if kind.name == "cost" else None
        entries = kind.make(one.checked(kind.keys, warnings), chain)
        chain.end_section(entries, one.line, one.name)
    if not chain.entries:
        raise ConfigurationError(f"{path}:{net.line}: no layers after [{net.name}]; add sections, as [connected]")
    if chain.cost is None:
        last = rest[-1]
        raise ConfigurationError(
            f"{path}:{last.line}: [{last.name}] is the last section; it must be [softmax], [logistic] or [cost], "
            "which say what the network learns"
        )
    return Configuration(path, chain.entries, chain.cost, inputs, training, chain.places, warnings)


# Text -----------------------------------------------------------------------------------------------------------------


@dataclass
class Section:
    """A section as it stands: its name, its line, and the value and line of each key."""

    path: str
    name: str
    line: int
    values: dict[str, tuple[str, int]] = field(default_factory=dict)
    twice: list[tuple[str, int]] = field(default_factory=list)

    def checked(self, keys: "dict[str, Key]", warnings: list[str]) -> "Given":
        """The values of known keys, read; adds a warning for each other key.

        Raises ConfigurationError for a value that is not right, or a key that is missing.
        """
        for name, line in self.twice:
            warnings.append(f"{self.path}:{line}: [{self.name}] has {name} already; the first one counts")
        for name, (_, line) in self.values.items():
            if name not in keys:
                alike = get_close_matches(name, keys, 1)
                meant = f"; is {alike[0]} meant?" if alike else ""
                warnings.append(f"{self.path}:{line}: [{self.name}] makes no use of {name}{meant}")
        read = {}
        for name, key in keys.items():
            if name in self.values:
                try:
                    read[name] = key.read(self.values[name][0])
                except ValueError:
                    self.refuse(name, f"must be {key.right}")
            elif key.needed:
                raise ConfigurationError(
                    f"{self.path}:{self.line}: [{self.name}] has no {name}; it must be {key.right}"
                )
            else:
                read[name] = key.default
        return Given(self, read)

    def refuse(self, key: str | None, why: str) -> NoReturn:
        """Raises ConfigurationError, naming the key's line or, where it is not given, the section's."""
        text, line = self.values.get(key or "", (None, self.line))
        said = "" if key is None else f" {key}" if text is None else f" {key}={text}"
        raise ConfigurationError(f"{self.path}:{line}: [{self.name}]{said}: {why}")


@dataclass
class Given:
    """The checked values of a section."""

    section: Section
    values: dict[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def refuse(self, key: str | None, why: str) -> NoReturn:
        self.section.refuse(key, why)


def _sections(text: str, path: str) -> list[Section]:
    """Sections in their order. Spaces do not count, nor does what follows ``#`` or ``;``."""
    found: list[Section] = []
    for number, whole in enumerate(text.split("\n"), 1):
        line = "".join(re.split("[#;]", whole, maxsplit=1)[0].split())
        if not line:
            continue
        shown = whole.strip() if len(whole) < 60 else whole.strip()[:60] + "..."
        if line.startswith("["):
            if not re.fullmatch(r"\[\w+\]", line):
                raise ConfigurationError(f"{path}:{number}: {shown!r}: a section is a name in brackets, as [connected]")
            found.append(Section(path, line[1:-1], number))
            continue
        key, equals, value = line.partition("=")
        if not (key and equals and value):
            raise ConfigurationError(f"{path}:{number}: {shown!r} is neither [section] nor key=value")
        if not found:
            raise ConfigurationError(f"{path}:{number}: {shown!r} stands before any section; begin with [net]")
        if key in found[-1].values:
            found[-1].twice.append((key, number))
        else:
            found[-1].values[key] = value, number
    return found


# Keys -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """What a key may be: how its text is read (ValueError where it cannot be), what is right, and what it is if not given.

    A default of None: what it is then follows from the other keys.
    """

    read: Callable[[str], Any]
    right: str
    default: Any = None
    needed: bool = False


def whole(default: int | None, least: int = 0) -> Key:
    """A whole number."""
    return Key(lambda text: _within(int(text), least, MOST), f"a whole number, {least} to {MOST}", default)


def count(default: int | None) -> Key:
    """A whole number, 1 or more."""
    return whole(default, 1)


def flag(default: int) -> Key:
    """0 or 1."""
    return Key(lambda text: _within(int(text), 0, 1), "0 or 1", default)


def number(default: float, least: float = 0.0, below: float = float("inf")) -> Key:
    """A number in a range."""
    right = f"a number, {least:g} or more" + (f", less than {below:g}" if below < float("inf") else "")
    return Key(lambda text: _within(float(text), least, below, strict=True), right, default)


def only(value: int | float) -> Key:
    """A key that must not change what Network computes."""
    return Key(lambda text: _within(float(text), value, value), f"{value}: anything else is not understood here", value)


def reference() -> Key:
    """The number of a layer."""
    return Key(int, "the number of a layer, or a negative one to count back from this", needed=True)


def references() -> Key:
    """The numbers of layers, with commas between."""
    right = "the numbers of layers, with commas between them; negative ones count back from this layer"
    return Key(lambda text: [int(part) for part in text.split(",")], right, needed=True)


def activation(default: str) -> Key:
    """The name of a layer of one input that learns and draws nothing, and gives what has the shape of its input."""
    return Key(_activation, "one of " + ", ".join(_activations()), default)


def _activation(text: str) -> str:
    if text not in _activations():
        raise ValueError
    return text


def _activations() -> list[str]:
    found = []
    for name, layer in LAYERS.items():
        axes = [tensor(x)[1] for x in (*layer.inputs, *layer.outputs)]
        if not layer.parameters and not layer.random and len(axes) == 2 and axes[0] == axes[1]:
            found.append(name)
    return sorted({*found, *(darknet for darknet, ours in RENAMED.items() if ours in found)})


def _within(value: Any, least: float, most: float, strict: bool = False) -> Any:
    if not least <= value <= most or (strict and value == most):
        raise ValueError
    return value


# Layers ---------------------------------------------------------------------------------------------------------------


@dataclass
class Chain:
    """The layers so far.

    channels: of the planes that come out, None for a row. points: of a row, whether it stands for planes of one place.
    ends, widths: the last entry of each section, and its channels. cost: what the last section brings. done: whether
    nothing may follow.
    """

    channels: int | None
    points: bool = False
    entries: list[Entry] = field(default_factory=list)
    places: list[tuple[int, str]] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    widths: list[int | None] = field(default_factory=list)
    cost: str | None = None
    done: bool = False

    def end_section(self, entries: Sequence[Entry], line: int, name: str) -> None:
        self.entries += entries
        self.places += [(line, name)] * len(entries)
        self.ends.append(len(self.entries) - 1)
        self.widths.append(self.channels)

    def referred(self, given: Given, key: str, layer: int) -> tuple[int, int | None]:
        """The entry that a reference to a layer means, and its channels."""
        here = len(self.ends)
        found = layer if layer >= 0 else here + layer
        if not 0 <= found < here:
            right = f"0 to {here - 1}, or -1 to -{here}, are the layers before it" if here else "none comes before it"
            given.refuse(key, f"there is no earlier layer {layer}: this is layer {here}; {right}")
        return self.ends[found], self.widths[found]

    def planes(self, given: Given) -> int:
        """The channels that come in."""
        if self.channels is None:
            given.refuse(None, "takes planes, and a row of values comes in; give [net] height, width and channels")
        return self.channels

    def row(self) -> list[Entry]:
        """What makes a row of what comes in."""
        before: list[Entry] = [] if self.channels is None else ["flatten"]
        self.channels, self.points = None, False
        return before


@dataclass(frozen=True)
class Kind:
    """A kind of section: its full name, its keys, and the function from its values to entries."""

    name: str
    keys: dict[str, Key]
    make: Callable[[Given, Chain], list[Entry]]


SECTIONS: dict[str, Kind] = {}


def section(name: str, *short: str, **keys: Key) -> Callable:
    """Makes a function known as that which makes the entries of a section with these keys."""

    def known(make: Callable[[Given, Chain], list[Entry]]) -> Callable:
        for each in (name, *short):
            SECTIONS[each] = Kind(name, keys, make)
        return make

    return known


def _biased(given: Given) -> dict[str, bool]:
    """No bias where a normalisation follows: it would take it away again, and has one of its own."""
    return {"bias": False} if given["batch_normalize"] else {}


def _dense(outputs: int, given: Given) -> Entry:
    settings = _biased(given)
    return ("dense", outputs, settings) if settings else ("dense", outputs)


def _finished(given: Given) -> list[Entry]:
    """The normalisation and the activation that a section asks for."""
    found: list[Entry] = ["batch_norm"] if given.values.get("batch_normalize") else []
    name = RENAMED.get(given["activation"], given["activation"])
    return found + ([] if name == "linear" else [name])


@section(
    "convolutional", "conv", filters=count(1), size=count(1), stride=count(1), pad=flag(0), padding=whole(0),
    groups=count(1), batch_normalize=flag(0), activation=activation("logistic"),
)  # fmt: skip
def _convolutional(given: Given, chain: Chain) -> list[Entry]:
    filters, groups, size = given["filters"], given["groups"], given["size"]
    if chain.points and size == groups == 1 and not given["padding"]:
        return [_dense(filters, given), *_finished(given)]
    channels = chain.planes(given)
    if channels % groups or filters % groups:
        given.refuse("groups", f"must divide the {channels} channels that come in and the {filters} filters")
    settings = {"stride": given["stride"], "padding": size // 2 if given["pad"] else given["padding"]}
    settings |= _biased(given)
    chain.channels = filters
    if groups == 1:
        return [("convolution", filters, size, settings), *_finished(given)]
    if groups == channels == filters:
        return [("depthwise_convolution", size, settings), *_finished(given)]
    return [("grouped_convolution", filters, size, {"groups": groups, **settings}), *_finished(given)]


@section("connected", "conn", output=count(1), activation=activation("logistic"), batch_normalize=flag(0))
def _connected(given: Given, chain: Chain) -> list[Entry]:
    return [*chain.row(), _dense(given["output"], given), *_finished(given)]


@section("maxpool", "max", stride=count(1), size=count(None), padding=whole(None))
def _maxpool(given: Given, chain: Chain) -> list[Entry]:
    chain.planes(given)
    size = given["size"] or given["stride"]
    total = size - 1 if given["padding"] is None else given["padding"]  # of both sides together
    around = (total // 2, total - total // 2)  # before and behind, of columns as of rows
    return [("max_pooling", {"size": size, "stride": given["stride"], "padding": (*around, *around)})]


@section("avgpool", "avg")
def _avgpool(given: Given, chain: Chain) -> list[Entry]:
    chain.planes(given)
    chain.channels, chain.points = None, True
    return ["global_average_pooling"]


@section("batchnorm")
def _batchnorm(given: Given, chain: Chain) -> list[Entry]:
    return ["batch_norm"]


@section("activation", activation=activation("linear"))
def _activation_section(given: Given, chain: Chain) -> list[Entry]:
    return _finished(given) or ["linear"]


@section("dropout", probability=number(0.5, below=1.0))
def _dropout(given: Given, chain: Chain) -> list[Entry]:
    if chain.ends:  # Darknet's works in place: who refers to the layer before it gets what it has left
        chain.ends[-1] = len(chain.entries)
    return [("dropout", {"probability": given["probability"]})]


@section("upsample", stride=count(2), scale=only(1))
def _upsample(given: Given, chain: Chain) -> list[Entry]:
    chain.planes(given)
    return [("upsample", {"stride": given["stride"]})]


@section("shortcut", **{"from": reference()}, activation=activation("linear"), alpha=only(1), beta=only(1))
def _shortcut(given: Given, chain: Chain) -> list[Entry]:
    entry, _ = chain.referred(given, "from", given["from"])
    return [("shortcut", {"from": entry}), *_finished(given)]


@section("route", layers=references(), groups=count(1), group_id=whole(0))
def _route(given: Given, chain: Chain) -> list[Entry]:
    layers, groups = [chain.referred(given, "layers", layer) for layer in given["layers"]], given["groups"]
    widths = [width for _, width in layers if width is not None]
    if widths and len(widths) < len(layers):
        given.refuse("layers", "some of these layers give planes, others a row of values; all must give the same kind")
    if any(width % groups for width in widths):
        given.refuse("groups", f"must divide the channels of each layer, {', '.join(map(str, widths))}")
    if given["group_id"] >= groups:
        given.refuse("group_id", f"must be 0 to {groups - 1}, a group of the {groups}")
    chain.channels, chain.points = sum(widths) // groups if widths else None, False
    part = {"groups": groups, "group_id": given["group_id"]} if groups > 1 else {}
    return [("route", {"layers": [entry for entry, _ in layers], **part})]


@section("softmax", "soft", groups=only(1), temperature=only(1), spatial=only(0))
def _softmax(given: Given, chain: Chain) -> list[Entry]:
    chain.cost = "softmax_cross_entropy"  # which the section brings with it, in Darknet too
    return [*chain.row(), "softmax"]


@section("logistic")
def _logistic(given: Given, chain: Chain) -> list[Entry]:
    chain.cost = "logistic_cross_entropy"
    return [*chain.row(), "logistic"]


def _cost_type(text: str) -> str:
    if text != "sse" and text not in COSTS:
        raise ValueError
    return text


@section("cost", type=Key(_cost_type, f"sse, or one of {', '.join(sorted(COSTS))}", "sse"), scale=only(1))
def _cost(given: Given, chain: Chain) -> list[Entry]:
    chain.done = True
    if given["type"] != "sse":
        chain.cost = given["type"]
    elif chain.cost is None:  # after [softmax] and [logistic], sse passes the gradient of their own cost on
        chain.cost = "quadratic"  # whose gradient is that of Darknet's sse
    return chain.row()


# [net] ----------------------------------------------------------------------------------------------------------------

NET = ("net", "network")
NET_KEYS = {
    "height": whole(0), "width": whole(0), "channels": whole(0), "inputs": whole(None),
    "batch": count(1), "subdivisions": count(1), "max_batches": whole(0),
    "learning_rate": number(0.001), "momentum": number(0.9), "decay": number(0.0001),
    "adam": flag(0), "B1": number(0.9, below=1.0), "B2": number(0.999, below=1.0), "eps": number(1e-7),
    "policy": Key(str, "the name of a policy", "constant"),
}  # fmt: skip


def _net(given: Given, warnings: list[str]) -> tuple[tuple[int, ...], Training]:
    """The shape of a sample, and the training."""
    planes = tuple(given[key] for key in ("channels", "height", "width"))
    row = given["inputs"]
    if row and any(planes) and row != planes[0] * planes[1] * planes[2]:
        given.refuse("inputs", f"channels, height and width are {' x '.join(map(str, planes))}; give them or inputs")
    if not row and not all(planes):
        missing = [key for key, size in zip(("channels", "height", "width"), planes, strict=True) if not size]
        given.refuse(None, f"must say what a sample is: add {', '.join(missing)}, or inputs for a row of values")
    if given["policy"] != "constant":
        _, line = given.section.values["policy"]
        where = f"{given.section.path}:{line}: [{given.section.name}]"
        warnings.append(f"{where} makes no use of policy={given['policy']}; the learning rate is constant")
    adam = {"beta1": given["B1"], "beta2": given["B2"], "epsilon": given["eps"]}
    training = Training(
        batch_size=given["batch"],
        learning_rate=given["learning_rate"],
        momentum=None if given["adam"] else given["momentum"],
        weight_decay=given["decay"],
        max_batches=given["max_batches"],
        rule="adam" if given["adam"] else None,
        settings=adam if given["adam"] else {},
    )
    return planes if all(planes) else (row,), training
