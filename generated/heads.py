"""The heads of a detector: what a list of layers says of them, and their part in a pass.

A head reads planes of A (5 + K) channels for A anchors and K classes: of each cell and anchor four numbers of a box,
objectness, then the classes. It gives nothing that other layers could read.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Any

import numpy as np

from .assignment import ASSIGN, NONE, ROW
from .definition import HEADS, Head, tensor
from .program import Call, Kernel

ROOM = 8  # for truths of a sample, at least
BOX = ("b_x", "b_y", "b_w", "b_h")  # of a prediction, in shares of the network's input


@dataclass(frozen=True)
class Setting:
    """A number that a list of layers may give a head: what it is if none is given, and from where to where it may be."""

    default: float
    least: float = 0.0
    most: float = inf
    whole: bool = False

    def holds(self, value: Any) -> bool:
        """Whether a value is such a number."""
        return _is_number(value) and self.least <= value <= self.most and not (self.whole and value != int(value))

    def __str__(self) -> str:
        if self.least == self.most:
            return f"{self.least:g}: there is no other here"
        end = f"from {self.least:g} to {self.most:g}" if self.most < inf else f"of {self.least:g} or more"
        return f"a {'whole ' if self.whole else ''}number {end}"


SHARE, FLAG, SCALE = Setting(0.5, most=1), Setting(0, most=1, whole=True), Setting(1.0)
# What assignment is told of a head that does not say otherwise: see `assignment`.
PLAIN = {
    "truth_threshold": inf, "bias_match": 1, "rescore": 0, "single": 0, "coord_scale": 1.0, "object_scale": 1.0,
    "noobject_scale": 1.0, "class_scale": 1.0, "warm_samples": 0,
}  # fmt: skip


@dataclass(frozen=True)
class Said:
    """What a list of layers may say of a head besides its anchors.

    settings: by name. masked: whether its anchors may be some of those given. in_cells: whether they are in cells, not pixels.
    told: what assignment is told of it besides: a number, or that of the setting of another name.
    """

    settings: Mapping[str, Setting]
    masked: bool = False
    in_cells: bool = False
    told: Mapping[str, float | str] = field(default_factory=dict)


SAID = {
    "yolo": Said({"ignore_threshold": SHARE, "truth_threshold": Setting(1.0, most=1)}, masked=True),
    "region": Said(
        {
            "thresh": SHARE, "bias_match": FLAG, "rescore": FLAG, "coord_scale": SCALE, "object_scale": SCALE,
            "noobject_scale": SCALE, "class_scale": SCALE, "warm_samples": Setting(12800, whole=True),
            "coords": Setting(4, 4, 4), "softmax": Setting(1, 1, 1),
            "absolute": FLAG,  # which Darknet reads, and makes no use of
        },
        in_cells=True, told={"ignore_threshold": "thresh", "single": 1},
    ),
}  # fmt: skip


@dataclass
class HeadLink:
    """A head in its place.

    input: the number of the value that it reads. classes, anchors (M, 2), mask: as the list of layers has them.
    grid: (rows, columns) of cells. settings: where its kernels read them. listed: as a link's.
    """

    head: Head
    input: int
    classes: int
    anchors: np.ndarray
    mask: np.ndarray
    grid: tuple[int, int]
    settings: dict[str, np.ndarray] = field(default_factory=dict)
    listed: str = ""

    @property
    def sizes(self) -> dict[str, int]:
        """Of the indices of its tensors, but that of samples."""
        rows, columns = self.grid
        return {"p": rows * columns * len(self.mask), "e": 5 + self.classes, "k": self.classes}

    def constants(self, dtype: np.dtype) -> dict[str, np.ndarray]:
        """What is known of each prediction: its cell and its anchor."""
        rows, columns = self.grid
        row, column, a = (i.reshape(-1) for i in np.indices((rows, columns, len(self.mask))))
        anchors = self.anchors[self.mask[a]]
        found = {"column": column, "row": row, "anchor_w": anchors[:, 0], "anchor_h": anchors[:, 1]}
        return {name: np.ascontiguousarray(values, dtype) for name, values in found.items()}


# What a list of layers says -------------------------------------------------------------------------------------------


def settings_of_head(where: str, name: str, sizes: Sequence[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of a head, its anchors as pairs. Raises ValueError, naming the layer, for what cannot stand."""
    what, said = f"{where}: {name!r}", SAID[name]
    if len(sizes) != 1 or not _is_count(sizes[0]) or sizes[0] < 1:
        raise ValueError(f"{what} takes one size, the number of classes, a positive integer, not {_listed(sizes)}")
    known = ("anchors", *(["mask"] if said.masked else []), *said.settings)
    unknown = sorted(set(map(str, given)) - {*known, "from", "layers"})
    if unknown:
        raise ValueError(f"{what} has no setting {unknown}; it has {sorted(known)}")
    anchors = given.get("anchors")
    if not isinstance(anchors, list | tuple) or not anchors or not all(map(_is_anchor, anchors)):
        raise ValueError(
            f"{what} needs the setting anchors, a list of (width, height) in {'cells' if said.in_cells else 'pixels'}, each a "
            f"positive number, not {anchors!r}"
        )
    mask = given.get("mask", list(range(len(anchors))))
    if not isinstance(mask, list | tuple) or not mask or not all(map(_is_count, mask)):
        raise ValueError(f"{what}: setting mask must be a list of numbers of anchors, not {mask!r}")
    if not all(0 <= m < len(anchors) for m in mask) or len(set(mask)) < len(mask):
        raise ValueError(
            f"{what}: setting mask must be of different numbers from 0 to {len(anchors) - 1}, those of the "
            f"{len(anchors)} anchors, not {list(mask)}"
        )
    found: dict[str, Any] = {"anchors": [(float(w), float(h)) for w, h in anchors]}
    found |= {"mask": list(map(int, mask))} if said.masked else {}
    for key, setting in said.settings.items():
        value = given.get(key, setting.default)
        if not setting.holds(value):
            raise ValueError(f"{what}: setting {key} must be {setting}, not {value!r}")
        found[key] = int(value) if setting.whole else float(value)
    return found | {key: given[key] for key in ("from", "layers") if key in given}


def _is_count(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and isfinite(value)


def _is_anchor(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(_is_number(x) and x > 0 for x in value)


def _listed(sizes: Sequence[Any]) -> str:
    return ", ".join(map(repr, sizes)) or "none"


def linked_head(
    where: str,
    name: str,
    classes: int,
    settings: Mapping[str, Any],
    read: tuple[int, tuple[int, ...], str],
    inputs: tuple[int, ...],
) -> HeadLink:
    """The head that reads a value, (its number, its shape, where it comes from), in a network of samples of shape ``inputs``.

    Raises ValueError, naming the layer and the channels, for what does not fit.
    """
    number, shape, source = read
    said, anchors = SAID[name], np.array(settings["anchors"])
    mask = np.array(settings.get("mask", range(len(anchors))), np.int32)
    if len(shape) != 3 or len(inputs) != 3:
        what, given = (f"planes of {source}", shape) if len(shape) != 3 else ("a network of images", inputs)
        raise ValueError(f"{where}: {name!r} takes {what}, (channels, rows, columns); its shape is {given}")
    wanted = len(mask) * (5 + classes)
    if shape[0] != wanted:
        raise ValueError(
            f"{where}: {name!r} takes {wanted} channels, {len(mask)} * (5 + {classes}) for {len(mask)} anchors and "
            f"{classes} classes; {source} gives {shape[0]}"
        )
    _, rows, columns = shape
    units = (rows, columns) if said.in_cells else inputs[1:]
    values = {"lw": columns, "lh": rows, "net_w": units[1], "net_h": units[0], **PLAIN}
    values |= {key: settings[key] for key in said.settings}
    values |= {key: settings[told] if isinstance(told, str) else told for key, told in said.told.items()}
    cells = {key: np.array([float(value)]) for key, value in values.items()}
    return HeadLink(HEADS[name], number, classes, anchors, mask, (rows, columns), cells)


# Its part in a pass ---------------------------------------------------------------------------------------------------


@dataclass
class HeadPass:
    """The calls of a head in a pass: forward; with truths their assignment and the costs of the samples; backward.

    arrays: all that they work on, by name.
    """

    arrays: dict[str, np.ndarray]
    forward: list[Call]
    cost: list[Call] = field(default_factory=list)
    backward: list[Call] = field(default_factory=list)

    def predictions(self) -> np.ndarray:
        """(N, P, 5 + K): box, objectness and class probabilities of each prediction."""
        single = np.stack([self.arrays[name] for name in (*BOX, "o")], axis=-1)
        return np.concatenate([single, self.arrays["c"]], axis=-1)


def head_pass(
    one: HeadLink,
    planes: np.ndarray,
    array: Callable[[Sequence[int]], np.ndarray],
    truths: np.ndarray | None = None,
    delta: np.ndarray | None = None,
    step: np.ndarray | None = None,
) -> HeadPass:
    """A head on the planes (N, rows, columns, channels) that it reads, what it makes in new ``array``\\ s.

    truths: (N, T, 5), those of each sample; delta: where the sensitivity of the planes goes. Without them it goes no further.
    step: the number of the step in training, of one element.
    """
    head, batch, dtype = one.head, len(planes), planes.dtype
    sizes = {**one.sizes, tensor(head.inputs[0])[1][0]: batch}
    names = {tensor(head.inputs[0])[0]: planes.reshape([sizes[i] for i in tensor(head.inputs[0])[1]])}
    made = [*head.outputs[:-1], *head.buffers]
    names |= one.constants(dtype)
    if truths is not None:
        made += [*head.targets, head.outputs[-1]]
        names |= {"truth": truths, "anchor": np.ascontiguousarray(one.anchors, dtype), "mask": one.mask}
    names |= {tensor(slot)[0]: array([sizes[i] for i in tensor(slot)[1]]) for slot in made}
    cells = {**one.settings, "step": np.array([inf]) if step is None else step}

    def calls(kernels: Sequence[Kernel]) -> list[Call]:
        return [Call(k, {n: names[n] for n in k.arrays}, {n: cells[n] for n in k.scalars}, one.listed) for k in kernels]

    found = HeadPass(names, calls(head.forward))
    if truths is not None:
        found.cost = calls((ASSIGN, *head.cost))
    if delta is not None:
        z = tensor(head.inputs[0])[0]
        names[f"delta_{z}"] = delta.reshape(names[z].shape)
        found.backward = calls(head.backward)
    return found


# Truths ---------------------------------------------------------------------------------------------------------------


def as_truths(y: Any, count: int, classes: int, dtype: np.dtype, name: str = "y", room: int = 0) -> np.ndarray:
    """Truths (N, T, 5) of ``count`` samples, in rows of class, x, y, w, h, those that there are first, then rows of class -1.

    y: an array (T, 5) a sample, or one (N, T, 5); rows of class -1 are none. T is a power of two, ``room`` or more.
    Raises ValueError, naming the sample and the row, for what does not fit.
    """
    wanted = f"{name} must be truths: for each of the {count} samples rows of class, x, y, w, h, an array (T, 5)"
    try:
        given = list(y)
    except TypeError:
        raise ValueError(f"{wanted}; it is {type(y).__name__}") from None
    if len(given) != count:
        raise ValueError(f"{wanted}; it has {len(given)} entries")
    kept = [_truths_of(one, classes, dtype, f"{name}: sample {n}", wanted) for n, one in enumerate(given)]
    most = max([ROOM, room, *map(len, kept)])
    truths = with_room(np.zeros((count, 0, ROW), dtype), 1 << (most - 1).bit_length())
    for rows, own in zip(truths, kept, strict=True):
        rows[: len(own)] = own
    return truths


def with_room(truths: np.ndarray, room: int) -> np.ndarray:
    """The truths (N, T, 5) with rows that are none up to T = ``room``."""
    found = np.zeros((len(truths), room, ROW), truths.dtype)
    found[..., 0] = NONE
    found[:, : truths.shape[1]] = truths
    return found


def _truths_of(given: Any, classes: int, dtype: np.dtype, where: str, wanted: str) -> np.ndarray:
    """The truths of one sample, checked, without rows that are none."""
    try:
        rows = np.asarray(given)
        rows = np.zeros((0, ROW), dtype) if rows.size == 0 and rows.ndim < 3 else rows
        if rows.dtype.kind not in "biufO":
            raise TypeError(f"these are {rows.dtype}")
        with np.errstate(over="ignore"):
            rows = np.asarray(rows, dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {wanted}: {error}") from None
    if rows.ndim != 2 or rows.shape[1] != ROW:
        raise ValueError(f"{where}: {wanted}; its shape is {rows.shape}")
    kind, centre, size = rows[:, :1], rows[:, 1:3], rows[:, 3:]
    none = kind == NONE
    checks = (
        ((kind >= 0) & (kind < classes) & (kind == np.floor(kind)), 0, f"a whole number from 0 to {classes - 1}"),
        ((centre >= 0) & (centre <= 1), 1, "a share of the network's input, from 0 to 1"),
        ((size > 0) & (size <= 1), 3, "a share of the network's input, above 0 and at most 1"),
    )
    for right, first, what in checks:
        wrong = np.argwhere(~(right | none))
        if wrong.size:
            row, column = (int(i) for i in wrong[0])
            number = ("class", "x", "y", "w", "h")[first + column]
            value = np.asarray(given, np.float64)[row, first + column]
            raise ValueError(f"{where}, row {row}: {number} is {value:g}, not {what}")
    return rows[~none[:, 0]]
