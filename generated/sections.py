"""The kinds of sections of ``.cfg`` files: what their keys are, which entries of Network they make, how they are written.

A kind is a class here: ``keys``, ``read`` from the values of a section to entries, and ``write`` from entries back to
values. Keys, defaults and the counting of layers are Darknet's (pjreddie/darknet, ``src/parser.c``). Some kinds can be
read and written, but not built: see `Unbuilt`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

from .definition import COSTS, LAYERS, tensor
from .grammar import (
    Findings,
    Given,
    Key,
    count,
    flag,
    lines_of,
    number,
    numbers,
    only,
    reference,
    references,
    unbuilt,
    whole,
    wholes,
)
from .graph import parts_of

Entry = str | tuple
RENAMED = {"hardtan": "hardtanh"}  # activations that have another name here
HEADS = ("yolo", "region", "detection")  # of detectors
NORMALISATIONS = ("batch_norm_darknet", "batch_norm")
KINDS: dict[str, "type[Kind]"] = {}
"""All kinds of sections by name, short names among them."""


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


def _cost_type(text: str) -> str:
    if text not in (*DARKNETS_COSTS, *COSTS):
        raise ValueError
    return text


DARKNETS_COSTS = ("sse", "masked", "smooth", "L1", "seg", "wgan")


@dataclass(frozen=True)
class Place:
    """A section in its place: its kind, its line, which entries are its own, the channels that it gives (None: a row).

    kept: the text of keys that nothing makes use of.
    """

    name: str
    line: int
    first: int
    last: int
    channels: int | None
    kept: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Chain:
    """The layers so far, as they are read.

    channels: of the planes that come out, None for a row. points: of a row, whether it stands for planes of one place.
    ends: the last entry of each section. cost: what the last section brings. done: whether nothing may follow. head:
    whether there is one that brings its own cost. boxes: what the last detector's head says of the pictures.
    """

    channels: int | None
    normalisation: str
    findings: Findings
    points: bool = False
    entries: list[Entry] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    cost: str | None = None
    done: bool = False
    head: bool = False
    boxes: dict[str, Any] = field(default_factory=dict)

    def read(self, kind: "type[Kind]", given: Given) -> None:
        """A section more."""
        first = len(self.entries)
        self.entries += kind.read(given, self)
        last = len(self.entries)
        self.ends.append(last - 1)
        self.places.append(Place(kind.name, given.section.line, first, last, self.channels, given.kept))

    def referred(self, given: Given, key: str, layer: int) -> tuple[int, int | None]:
        """The entry that a reference to a layer means, and its channels."""
        here = len(self.ends)
        found = layer if layer >= 0 else here + layer
        if not 0 <= found < here:
            right = f"0 to {here - 1}, or -1 to -{here}, are the layers before it" if here else "none comes before it"
            given.refuse(key, f"there is no earlier layer {layer}: this is layer {here}; {right}")
        return self.ends[found], self.places[found].channels

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

    def finished(self, given: Given) -> list[Entry]:
        """The normalisation and the activation that a section asks for."""
        found: list[Entry] = [self.normalisation] if given.values.get("batch_normalize") else []
        name = RENAMED.get(given["activation"], given["activation"])
        return found + ([] if name == "linear" else [name])


@dataclass(frozen=True)
class Written:
    """What the sections of a configuration are written from: its entries and places, and what is said of the pictures."""

    entries: Sequence[Entry]
    places: Sequence[Place]
    boxes: Mapping[str, Any]
    cost: str | None

    def section(self, entry: int, before: int) -> int:
        """The section whose last entry this is, counted back from section ``before``."""
        return self._sections[entry] - before

    @cached_property
    def _sections(self) -> dict[int, int]:
        return {place.last - 1: at for at, place in enumerate(self.places)}

    def lines(self) -> list[str]:
        """The lines of all sections."""
        found = []
        for at, place in enumerate(self.places):
            values = KINDS[place.name].write(self.entries[place.first : place.last], at, self)
            found += ["", *lines_of(place.name, {**values, **place.kept})]
        return found


def ending(entries: Sequence[Entry]) -> dict[str, Any]:
    """The keys of the normalisation and of the activation that follow a section's own entry."""
    names = [parts_of(entry)[0] for entry in entries]
    normalised = {"batch_normalize": 1} if names and names[0] in NORMALISATIONS else {}
    darknets = {ours: darknet for darknet, ours in RENAMED.items()}
    name = names[-1] if len(names) > len(normalised) else "linear"
    return normalised | {"activation": darknets.get(name, name)}


# Kinds ----------------------------------------------------------------------------------------------------------------


class Kind:
    """A kind of section. ``write`` is given the section's entries, and its own number: the settings of the last, if no more."""

    name: ClassVar[str]
    keys: ClassVar[dict[str, Key]] = {}

    def __init_subclass__(cls, names: str = "") -> None:
        for each in names.split():
            KINDS[each] = cls
        cls.name = names.split()[0] if names else ""

    @staticmethod
    def read(given: Given, chain: Chain) -> list[Entry]:
        raise NotImplementedError

    @staticmethod
    def write(entries: Sequence[Entry], at: int, whole: Written) -> dict[str, Any]:
        return parts_of(entries[-1])[2]


def _biased(given: Given) -> dict[str, bool]:
    """No bias where a normalisation follows: it would take it away again, and has one of its own."""
    return {"bias": False} if given["batch_normalize"] else {}


def _dense(outputs: int, given: Given) -> Entry:
    settings = _biased(given)
    return ("dense", outputs, settings) if settings else ("dense", outputs)


def _padding(padding: int, size: int) -> dict[str, int]:
    return {"pad": 1} if padding and padding == size // 2 else {"padding": padding} if padding else {}


class Convolutional(Kind, names="convolutional conv"):
    keys: ClassVar = {
        "filters": count(1), "size": count(1), "stride": count(1), "pad": flag(0), "padding": whole(0), "groups": count(1),
        "batch_normalize": flag(0), "activation": activation("logistic"), "flipped": only(0), "binary": only(0),
        "xnor": only(0),
    }  # fmt: skip

    @staticmethod
    def read(given: Given, chain: Chain) -> list[Entry]:
        filters, groups, size = given["filters"], given["groups"], given["size"]
        if chain.points and size == groups == 1 and not given["padding"]:
            return [_dense(filters, given), *chain.finished(given)]
        channels = chain.planes(given)
        if channels % groups or filters % groups:
            given.refuse("groups", f"must divide the {channels} channels that come in and the {filters} filters")
        settings = {"stride": given["stride"], "padding": size // 2 if given["pad"] else given["padding"]}
        settings |= _biased(given)
        chain.channels = filters
        if groups == 1:
            return [("convolution", filters, size, settings), *chain.finished(given)]
        if groups == channels == filters:
            return [("depthwise_convolution", size, settings), *chain.finished(given)]
        return [("grouped_convolution", filters, size, {"groups": groups, **settings}), *chain.finished(given)]

    @staticmethod
    def write(entries: Sequence[Entry], at: int, whole: Written) -> dict[str, Any]:
        name, sizes, settings = parts_of(entries[0])
        if name == "dense":
            return {"filters": sizes[0], "size": 1, "stride": 1, **ending(entries[1:])}
        size, filters = sizes[-1], whole.places[at].channels
        groups = filters if name == "depthwise_convolution" else settings.get("groups", 1)
        return {
            "filters": filters, "size": size, "stride": settings["stride"], **_padding(settings["padding"], size),
            **({"groups": groups} if groups != 1 else {}), **ending(entries[1:]),
        }  # fmt: skip


class Connected(Kind, names="connected conn"):
    keys: ClassVar = {"output": count(1), "activation": activation("logistic"), "batch_normalize": flag(0)}

    @staticmethod
    def read(given: Given, chain: Chain) -> list[Entry]:
        return [*chain.row(), _dense(given["output"], given), *chain.finished(given)]

    @staticmethod
    def write(entries: Sequence[Entry], at: int, whole: Written) -> dict[str, Any]:
        dense, *rest = entries[1:] if entries[0] == "flatten" else entries
        return {"output": parts_of(dense)[1][0], **ending(rest)}


class Local(Kind, names="local"):
    keys: ClassVar = {
        "filters": count(1), "size": count(1), "stride": count(1), "pad": whole(0), "activation": activation("logistic"),
    }  # fmt: skip

    @staticmethod
    def read(given: Given, chain: Chain) -> list[Entry]:
        chain.planes(given)
        if given["pad"] and (given["pad"], given["size"]) != (1, 3):  # it counts places as if half the size were padded
            given.refuse(
                "pad", f"Darknet's own is wrong for size={given['size']}; pad=1 goes with size=3, pad=0 with any"
            )
        chain.channels = given["filters"]
        settings = {"stride": given["stride"], "padding": given["pad"]}
        return [("local", given["filters"], given["size"], settings), *chain.finished(given)]

    @staticmethod
    def write(entries: Sequence[Entry], at: int, whole: Written) -> dict[str, Any]:
        _, (filters, size), settings = parts_of(entries[0])
        pad = {"pad": settings["padding"]} if settings["padding"] else {}
        return {"filters": filters, "size": size, "stride": settings["stride"], **pad, **ending(entries[1:])}


class MaxPool(Kind, names="maxpool max"):
    keys: ClassVar = {"stride": count(1), "size": count(None), "padding": whole(None)}

    @staticmethod
    def read(given: Given, chain: Chain) -> list[Entry]:
        chain.planes(given)
        size = given["size"] or given["stride"]
        total = size - 1 if given["padding"] is None else given["padding"]  # of both sides together
        around = (total // 2, total - total // 2)  # before and behind, of columns as of rows
        return [("max_pooling", {"size": size, "stride": given["stride"], "padding": (*around, *around)})]

    @staticmethod
    def write(entries: Sequence[Entry], at: int, whole: Written) -> dict[str, Any]:
        _, _, settings = parts_of(entries[0])
        size, total = settings["size"], sum(settings["padding"][:2])
        return {"size": size, "stride": settings["stride"], **({} if total == size - 1 else {"padding": total})}


class AvgPool(Kind, names="avgpool avg"):
    @staticmethod
    def read(given: Given, chain: Chain) -> list[Entry]:
        chain.planes(given)
        chain.channels, chain.points = None, True
        return ["global_average_pooling"]


class BatchNorm(Kind, names="batchnorm"):
    @staticmethod
    def read(given: Given, chain: Chain) -> list[Entry]:
        return [chain.normalisation]


class Activation(Kind, names="activation"):
    keys: ClassVar = {"activation": activation("linear")}

    @staticmethod
    def read(given: Given, chain: Chain) -> list[Entry]:
        return chain.finished(given) or ["linear"]

    @staticmethod
    def write(entries: Sequence[Entry], at: int, whole: Written) -> dict[str, Any]:
        return ending(entries)


class Dropout(Kind, names="dropout"):
    keys: ClassVar = {"probability": number(0.5, below=1.0)}

    @staticmethod
    def read(given: Given, chain: Chain) -> list[Entry]:
        at, before = len(chain.ends) - 1, chain.ends[-1:]
        while at >= 0 and chain.ends[at] == before[0]:  # Darknet's works in place: who refers to the layer before it,
            chain.ends[at] = len(chain.entries)  # itself a dropout or not, gets what it has left
            at -= 1
        return [("dropout", {"probability": given["probability"]})]


class Upsample(Kind, names="upsample"):
    keys: ClassVar = {"stride": count(2), "scale": only(1)}

    @staticmethod
    def read(given: Given, chain: Chain) -> list[Entry]:
        chain.planes(given)
        return [("upsample", {"stride": given["stride"]})]


class Reorg(Kind, names="reorg"):
    keys: ClassVar = {"stride": count(1), "reverse": only(0), "flatten": only(0), "extra": only(0)}

    @staticmethod
    def read(given: Given, chain: Chain) -> list[Entry]:
        channels, stride = chain.planes(given), given["stride"]
        chain.channels = channels * stride**2
        return [("reorg", {"stride": stride})]


class Shortcut(Kind, names="shortcut"):
    keys: ClassVar = {"from": reference(), "activation": activation("linear"), "alpha": only(1), "beta": only(1)}

    @staticmethod
    def read(given: Given, chain: Chain) -> list[Entry]:
        entry, _ = chain.referred(given, "from", given["from"])
        return [("shortcut", {"from": entry}), *chain.finished(given)]

    @staticmethod
    def write(entries: Sequence[Entry], at: int, whole: Written) -> dict[str, Any]:
        return {"from": whole.section(parts_of(entries[0])[2]["from"], at), **ending(entries[1:])}


class Route(Kind, names="route"):
    keys: ClassVar = {"layers": references(), "groups": count(1), "group_id": whole(0)}

    @staticmethod
    def read(given: Given, chain: Chain) -> list[Entry]:
        layers, groups = [chain.referred(given, "layers", layer) for layer in given["layers"]], given["groups"]
        widths = [width for _, width in layers if width is not None]
        if widths and len(widths) < len(layers):
            given.refuse(
                "layers", "some of these layers give planes, others a row of values; all must give the same kind"
            )
        if any(width % groups for width in widths):
            given.refuse("groups", f"must divide the channels of each layer, {', '.join(map(str, widths))}")
        if given["group_id"] >= groups:
            given.refuse("group_id", f"must be 0 to {groups - 1}, a group of the {groups}")
        chain.channels, chain.points = sum(widths) // groups if widths else None, False
        part = {"groups": groups, "group_id": given["group_id"]} if groups > 1 else {}
        return [("route", {"layers": [entry for entry, _ in layers], **part})]

    @staticmethod
    def write(entries: Sequence[Entry], at: int, whole: Written) -> dict[str, Any]:
        _, _, settings = parts_of(entries[0])
        return settings | {"layers": [whole.section(entry, at) for entry in settings["layers"]]}


# The last section, and what it learns ---------------------------------------------------------------------------------


class Softmax(Kind, names="softmax soft"):
    keys: ClassVar = {
        "groups": only(1),
        "temperature": only(1),
        "spatial": only(0),
        "noloss": only(0),
        "tree": unbuilt(),
    }

    @staticmethod
    def read(given: Given, chain: Chain) -> list[Entry]:
        chain.cost = "softmax_cross_entropy"  # which the section brings with it, in Darknet too
        return [*chain.row(), "softmax"]


class Logistic(Kind, names="logistic"):
    @staticmethod
    def read(given: Given, chain: Chain) -> list[Entry]:
        chain.cost = "logistic_cross_entropy"
        return [*chain.row(), "logistic"]


class Cost(Kind, names="cost"):
    keys: ClassVar = {"type": Key(_cost_type, f"sse, or one of {', '.join(sorted(COSTS))}", "sse"), "scale": only(1)}

    @staticmethod
    def read(given: Given, chain: Chain) -> list[Entry]:
        chain.done = True
        if given["type"] in DARKNETS_COSTS[1:]:
            right = f"type must be sse, or one of {', '.join(sorted(COSTS))}: another cannot be built here"
            chain.findings.obstacles.append(f"{given.section.place('type')}: {right}")
            given.kept["type"] = given["type"]
        elif given["type"] != "sse":
            chain.cost = given["type"]
        elif chain.cost is None:  # after [softmax] and [logistic], sse passes the gradient of their own cost on
            chain.cost = "quadratic"  # whose gradient is that of Darknet's sse
        return chain.row()

    @staticmethod
    def write(entries: Sequence[Entry], at: int, whole: Written) -> dict[str, Any]:
        before = whole.places[at - 1].name if at else ""
        own = {"softmax": "softmax_cross_entropy", "logistic": "logistic_cross_entropy"}.get(before, "quadratic")
        return {"type": "sse" if whole.cost in (own, None) else whole.cost}


def _anchors(given: Given) -> list[tuple[float, float]]:
    flat, num = given["anchors"], given["num"]
    if len(flat) != 2 * num:
        given.refuse("anchors", f"num={num} boxes need {2 * num} numbers, a width and a height each, not {len(flat)}")
    if not all(flat):
        given.refuse("anchors", "a width or a height is 0; all must be greater")
    return list(zip(flat[::2], flat[1::2], strict=True))


def _head(given: Given, chain: Chain, wanted: int, of: str) -> None:
    """A detector's head, which brings its own cost; what it says of the pictures. wanted: the channels that it takes."""
    channels = chain.planes(given)
    if channels != wanted:
        given.refuse(
            None, f"takes {of} = {wanted} channels, and {channels} come in; filters before it must be {wanted}"
        )
    boxes = {key: given[key] for key in ("jitter", "random", "max")}
    if chain.boxes and chain.boxes != boxes:
        where = given.section.place(None)
        told = ", ".join(f"{key} of an earlier head" for key in boxes if boxes[key] != chain.boxes[key])
        chain.findings.warnings.append(f"{where} makes no use of {told}; those of the last head count")
    chain.boxes, chain.head = boxes, True


PICTURES = {"jitter": number(0.2), "random": number(0), "max": count(90)}
"""What a head says of the pictures that it learns from: how they are cropped and resized, how many truths each may have."""


class Yolo(Kind, names="yolo"):
    keys: ClassVar = {
        "classes": count(20), "num": count(1), "mask": wholes("which of the anchors are this layer's"),
        "anchors": numbers("width and height of each box, in pixels", needed=True), "ignore_thresh": number(0.5),
        "truth_thresh": number(1.0), **PICTURES,
    }  # fmt: skip

    @staticmethod
    def read(given: Given, chain: Chain) -> list[Entry]:
        anchors, classes = _anchors(given), given["classes"]
        mask = list(range(len(anchors))) if given["mask"] is None else list(given["mask"])
        if max(mask) >= len(anchors) or len(set(mask)) < len(mask):
            given.refuse("mask", f"must name anchors, each once, by their numbers 0 to {len(anchors) - 1}")
        _head(given, chain, len(mask) * (5 + classes), f"{len(mask)} * (5 + {classes})")
        settings = {
            "anchors": anchors, "mask": mask, "ignore_threshold": given["ignore_thresh"],
            "truth_threshold": given["truth_thresh"],
        }  # fmt: skip
        return [("yolo", classes, settings)]

    @staticmethod
    def write(entries: Sequence[Entry], at: int, whole: Written) -> dict[str, Any]:
        _, (classes,), settings = parts_of(entries[0])
        return {
            "mask": settings["mask"], "anchors": [size for box in settings["anchors"] for size in box],
            "classes": classes, "num": len(settings["anchors"]), **whole.boxes,
            "ignore_thresh": settings["ignore_threshold"], "truth_thresh": settings["truth_threshold"],
        }  # fmt: skip


class Region(Kind, names="region"):
    keys: ClassVar = {
        "classes": count(20), "num": count(1), "coords": replace(count(4), built=(4,)),
        "softmax": replace(flag(0), built=(1,)), "background": only(0),
        "anchors": numbers("width and height of each box, in cells", needed=True), "bias_match": flag(0),
        "rescore": flag(0), "absolute": flag(0), "thresh": number(0.5), "coord_scale": number(1.0),
        "object_scale": number(1.0), "noobject_scale": number(1.0), "class_scale": number(1.0), "tree": unbuilt(),
        **PICTURES, "max": count(30),
    }  # fmt: skip
    kept = (
        "coords", "softmax", "bias_match", "rescore", "absolute", "thresh", "coord_scale", "object_scale",
        "noobject_scale", "class_scale",
    )  # fmt: skip

    @staticmethod
    def read(given: Given, chain: Chain) -> list[Entry]:
        anchors, classes, coords = _anchors(given), given["classes"], given["coords"]
        _head(given, chain, len(anchors) * (1 + coords + classes), f"{len(anchors)} * (1 + {coords} + {classes})")
        return [("region", classes, {"anchors": anchors, **{key: given[key] for key in Region.kept}})]

    @staticmethod
    def write(entries: Sequence[Entry], at: int, whole: Written) -> dict[str, Any]:
        _, (classes,), settings = parts_of(entries[0])
        anchors = settings.pop("anchors")
        flat = [size for box in anchors for size in box]
        return {"anchors": flat, "classes": classes, "num": len(anchors), **settings, **whole.boxes}


# Read and written, but not built ----------------------------------------------------------------------------------------


class Unbuilt(Kind):
    """A kind that Network has no layer for. Its entry is its name and its values."""

    instead: ClassVar[str] = ""

    @classmethod
    def read(cls, given: Given, chain: Chain) -> list[Entry]:  # type: ignore[override]
        where = given.section.place(None)
        chain.findings.obstacles.append(f"{where} is read and written, but cannot be built here{cls.instead}")
        cls.passed(given, chain)
        return [(cls.name, {key: value for key, value in given.values.items() if value is not None})]

    @staticmethod
    def passed(given: Given, chain: Chain) -> None:
        """What comes out of it: as it came in, where nothing else is said."""


class Crop(Unbuilt, names="crop"):
    instead = "; give [net] the height and width that it crops to, and leave it out"
    keys: ClassVar = {
        "crop_height": count(1), "crop_width": count(1), "flip": flag(0), "angle": number(0.0), "saturation": number(1.0),
        "exposure": number(1.0), "shift": number(0.0), "noadjust": flag(0),
    }  # fmt: skip


class Detection(Unbuilt, names="detection"):
    """YOLOv1's head."""

    keys: ClassVar = {
        "classes": count(1), "coords": count(1), "rescore": flag(0), "side": count(7), "num": count(1), "softmax": flag(0),
        "sqrt": flag(0), "forced": flag(0), "coord_scale": number(1.0), "object_scale": number(1.0),
        "noobject_scale": number(1.0), "class_scale": number(1.0), "reorg": flag(0), **PICTURES,
    }  # fmt: skip

    @staticmethod
    def passed(given: Given, chain: Chain) -> None:
        chain.row()
        chain.head = True


class Iseg(Unbuilt, names="iseg"):
    keys: ClassVar = {"classes": count(20), "ids": count(32)}

    @staticmethod
    def passed(given: Given, chain: Chain) -> None:
        chain.head = True


class Deconvolutional(Unbuilt, names="deconvolutional deconv"):
    keys: ClassVar = {
        "filters": count(1), "size": count(1), "stride": count(1), "pad": flag(0), "padding": whole(0),
        "batch_normalize": flag(0), "activation": activation("logistic"),
    }  # fmt: skip

    @staticmethod
    def passed(given: Given, chain: Chain) -> None:
        chain.planes(given)
        chain.channels = given["filters"]


class Recurrent(Unbuilt):
    @staticmethod
    def passed(given: Given, chain: Chain) -> None:
        chain.row()


class Rnn(Recurrent, names="rnn"):
    keys: ClassVar = {
        "output": count(1),
        "activation": activation("logistic"),
        "batch_normalize": flag(0),
        "shortcut": flag(0),
    }


class Gru(Recurrent, names="gru"):
    keys: ClassVar = {"output": count(1), "batch_normalize": flag(0), "tanh": flag(0)}


class Lstm(Recurrent, names="lstm"):
    keys: ClassVar = {"output": count(1), "batch_normalize": flag(0)}


class Crnn(Unbuilt, names="crnn"):
    keys: ClassVar = {
        "output_filters": count(1), "hidden_filters": count(1), "activation": activation("logistic"),
        "batch_normalize": flag(0), "shortcut": flag(0),
    }  # fmt: skip

    @staticmethod
    def passed(given: Given, chain: Chain) -> None:
        chain.planes(given)
        chain.channels = given["output_filters"]


class Normalization(Unbuilt, names="normalization lrn"):
    keys: ClassVar = {"alpha": number(0.0001), "beta": number(0.75), "kappa": number(1.0), "size": count(5)}


class L2Norm(Unbuilt, names="l2norm"):
    pass
