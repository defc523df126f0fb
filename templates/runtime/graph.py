"""From a list of layers to links: which values each reads, its sizes, and how planes lie in memory.

A value is what comes in or what one link gives. Outside, a sample of planes is (channels, rows, columns); inside, planes
lie channels last. Where they lie otherwise than a layer takes them, a link between turns them: see `flatten`.
"""

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from typing import Any

import numpy as np

from .definition import HEADS, LAYERS, Layer, stored, tensor
from .heads import HeadLink, linked_head, settings_of_head

MOST = 1 << 30  # parameters of a network, or units of a sample, where the machine's memory is not less
SIDES = ("top", "bottom", "left", "right")  # of a plane: what `padding` sets
NOT_OF_KERNELS = (
    "from",
    "layers",
    "bias",
)  # settings that say how a layer is linked; of channels in groups also "groups"


@dataclass(frozen=True)
class Entry:
    """A layer as the user lists it. index: its number in the list, from 0; errors count from 1."""

    index: int
    name: str
    sizes: tuple[int, ...]
    settings: Mapping[str, Any]

    @property
    def where(self) -> str:
        return f"layer {self.index + 1}"

    @property
    def listed(self) -> str:
        return f"{self.index + 1} {self.name}"

    @property
    def is_head(self) -> bool:
        return self.name in HEADS

    def references(self) -> list[int]:
        """The numbers of the layers that it reads; -1 stands for the samples. The one before, if nothing else is said.

        Raises ValueError for what is no earlier layer.
        """
        if "from" in self.settings and "layers" in self.settings:
            raise ValueError(f"{self.where}: {self.name!r} has both 'from' and 'layers'; one says what it reads")
        said = self.settings.get("layers", self.settings.get("from", []))
        given = list(said) if isinstance(said, list | tuple) else [said]
        return [self._resolved(number) for number in (given if "layers" in self.settings else [-1, *given])]

    def _resolved(self, number: Any) -> int:
        if isinstance(number, bool) or not isinstance(number, int | np.integer):
            raise ValueError(f"{self.where}: {self.name!r} refers to {number!r}; a layer is referred to by its number")
        found = int(number) + (self.index if number < 0 else 0)
        if not (-1 if number < 0 else 0) <= found < self.index:
            earlier = f"0 to {self.index - 1}, " if self.index else ""
            raise ValueError(
                f"{self.where}: {self.name!r} refers to layer {number}, which is not before it: counted from 0 it is layer "
                f"{self.index}, earlier ones are {earlier}or -1 to {-self.index - 1} backwards from it"
            )
        return found

    def forms(self) -> list[Layer]:
        """The definitions that may serve it, by the number of its inputs; the one with most where none takes so many.

        Raises ValueError where none takes so few, or for sizes and settings that they do not have.
        """
        layer, count = layer_named(self.name), len(self.references())
        counts = sorted({len(one.inputs) for one in forms_of(layer)})
        if count not in counts and not (layer.forms and count > counts[-1]):
            takes = " or ".join(map(str, counts))
            raise ValueError(
                f"{self.where}: {self.name!r} takes {takes} inputs, it has {count}; 'layers' names all, 'from' those after "
                "the layer before"
            )
        found = [one for one in forms_of(layer) if len(one.inputs) == min(count, counts[-1])]
        for one in found:
            sizes_of(one, self.sizes, self.where)
            settings_of(one, self.settings, self.where)
        bias = self.settings.get("bias", True)
        if not isinstance(bias, bool):
            raise ValueError(f"{self.where}: bias of {self.name!r} must be True or False, not {bias!r}")
        if "bias" in self.settings and "b" not in dict(map(tensor, layer.parameters)):
            raise ValueError(f"{self.where}: {self.name!r} has no bias")
        return found


def entry_of(given: Any, index: int) -> Entry:
    """The entry that a name or a tuple (name, sizes..., {settings}) states. Raises ValueError for what cannot stand."""
    name, sizes, settings = parts_of(given)
    if name not in HEADS:
        layer_named(name)
    settings = {key: _plain(value) for key, value in settings.items()}
    entry = Entry(index, name, sizes, settings)
    if entry.is_head:
        entry = replace(entry, settings=settings_of_head(entry.where, name, sizes, settings))
        if len(entry.references()) != 1:
            raise ValueError(f"{entry.where}: {name!r} takes 1 input, it has {len(entry.references())}")
    else:
        entry.forms()
    return replace(entry, sizes=tuple(map(int, sizes)))


def parts_of(given: Any) -> tuple[Any, tuple, dict[str, Any]]:
    """The name, the sizes and the settings that a list of layers gives one of them, as they are."""
    name, *rest = given if isinstance(given, tuple | list) and given else (given,)
    settings = dict(rest.pop()) if rest and isinstance(rest[-1], Mapping) else {}
    return name, tuple(rest), settings


def check_heads(entries: Sequence[Entry]) -> None:
    """Raises ValueError, naming the layer, where the heads of a detector cannot stand as they do: see `heads`."""
    heads = [entry for entry in entries if entry.is_head]
    if heads and not entries[-1].is_head:
        raise ValueError(
            f"{entries[-1].where}: {entries[-1].name!r} ends a detector, whose costs are of its heads; it must end in a head, "
            f"as {heads[-1].where} is one"
        )
    for entry in heads:
        if entry.sizes != heads[0].sizes:
            raise ValueError(
                f"{entry.where}: {entry.name!r} has {entry.sizes[0]} classes, that of {heads[0].where} has "
                f"{heads[0].sizes[0]}; all heads of a detector have the same"
            )
    for entry in entries:
        for number in entry.references():
            if number >= 0 and entries[number].is_head:
                raise ValueError(
                    f"{entry.where}: {entry.name!r} reads {entries[number].where}, the head {entries[number].name!r}, which "
                    "gives no values; say by the setting 'layers' which layers it reads"
                )


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's, so that they can be written to a file."""
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    return value.item() if isinstance(value, np.generic) else value


@dataclass(frozen=True)
class Value:
    """What comes in (number 0) or what a link gives: the shape of a sample. last: planes that lie channels last."""

    number: int
    shape: tuple[int, ...]
    last: bool = False
    source: str = "the samples"

    @property
    def lies(self) -> tuple[int, ...]:
        """The shape of a sample in memory."""
        return (*self.shape[1:], self.shape[0]) if self.last else self.shape

    @property
    def both_ways(self) -> bool:
        """Whether channels first and last come to the same."""
        return len(self.shape) != 3 or self.shape[0] == 1 or prod(self.shape[1:]) == 1


@dataclass
class Link:
    """A layer in its place.

    inputs, output: the numbers of the values that it reads and gives. sizes: of its indices. settings: where its kernels
    read them. shape: of a sample that it gives, in memory. places: how many rows of the layer a sample is. ``parameters``,
    ``gradients``, ``states`` and ``frozen`` (what does not learn) are arrays in the order of storage. inference: what takes
    its place outside of training. listed: the layer of the list that it is, or serves, as "3 convolution", counted from 1.
    """

    layer: Layer
    inputs: tuple[int, ...]
    output: int
    sizes: dict[str, int]
    settings: dict[str, np.ndarray]
    shape: tuple[int, ...]
    places: int = 1
    bias: bool = True
    parameters: dict[str, np.ndarray] = field(default_factory=dict)
    gradients: dict[str, np.ndarray] = field(default_factory=dict)
    states: dict[str, np.ndarray] = field(default_factory=dict)
    frozen: dict[str, np.ndarray] = field(default_factory=dict)
    inference: "Link | None" = None
    listed: str = ""

    def axes(self, slot: str, batch: int | None = None) -> tuple[int, ...]:
        """The sizes of a tensor's axes; the first index of the layer's input is that of samples, and of their places."""
        own = {**self.sizes, **({self.batch_index: batch * self.places} if batch is not None else {})}
        own |= {i: -(-own[of] // size) for i, (of, size) in self.layer.groups.items() if of in own}
        return tuple(1 if i == "one" else own[i] for i in tensor(slot)[1])

    def seen(self, slot: str, array: np.ndarray) -> np.ndarray:
        """The values of an input or output as the layer takes them."""
        return array if self.layer.elementwise else array.reshape(self.axes(stored(slot), len(array)))

    @property
    def batch_index(self) -> str:
        return tensor(self.layer.inputs[0])[1][0]


class Graph:
    """The links of a list of layers, for samples of one shape.

    links: in the order of computation. layers: the link of each entry, None where it only looks at a value otherwise, or
    is a head. values: all of them by number; ``output``: what the last layer gives, in the order of its units outside; of
    a detector what its last head reads. heads: of a detector, in their order.

    Raises ValueError, naming the layer and the sizes, for what does not fit.
    """

    def __init__(self, entries: Sequence[Entry], shape: tuple[int, ...]) -> None:
        self.links: list[Link] = []
        self._parameters = self._units = 0
        self.layers: list[Link | None] = []
        self.heads: list[HeadLink] = []
        self.values = [Value(0, shape)]
        self._turned: dict[int, Value] = {}
        given = [self.values[0]]  # by the samples, then by each entry
        for entry in entries:
            read = [given[number + 1] for number in entry.references()]
            if entry is entries[-1] and not entry.is_head and layer_named(entry.name).elementwise:
                read = list(map(self._channels_first, read))  # a cost that is taken together with it sees rows
            given.append(self._added(entry, read))
            self._name_new_links(entry.listed)
        self.output = given[-1] if self.heads else self._channels_first(given[-1])
        self._name_new_links(entries[-1].listed)
        self.ends = {head.input for head in self.heads} or {self.output.number}

    def _added(self, entry: Entry, read: list[Value]) -> Value:
        """The link of an entry, and what turns its inputs the way it takes them."""
        where = entry.where
        if entry.is_head:
            planes = self._channels_last(read[0])
            known = planes.number, planes.shape, planes.source
            inputs = self.values[0].shape
            self.heads.append(linked_head(where, entry.name, entry.sizes[0], entry.settings, known, inputs))
            self.heads[-1].listed = entry.listed
            self.layers.append(None)
            return planes
        if entry.name == "flatten":
            rows = self._channels_first(read[0])
            self.layers.append(None)
            return Value(rows.number, (prod(rows.shape),), source=where)
        forms = forms_of(layer_named(entry.name))
        most = max(len(form.inputs) for form in forms)
        while len(read) > most:  # the first of them together, then what that gives with the rest
            _, value = self._linked(forms, read[:most], (), {}, where)
            read = [value, *read[most:]]
        one, value = self._linked(forms, read, entry.sizes, entry.settings, where)
        self.layers.append(one)
        return value

    def _name_new_links(self, listed: str) -> None:
        for one in (one for one in self.links if not one.listed):
            one.listed = listed
            if one.inference:
                one.inference.listed = listed

    def _linked(
        self, forms: list[Layer], read: list[Value], sizes: tuple[int, ...], settings: Mapping[str, Any], where: str
    ) -> tuple[Link, Value]:
        """The first of the forms that fits, linked; raises the ValueError of the last that takes so many axes if none does."""
        layer, *others = [form for form in forms if len(form.inputs) == len(read)]
        others = [form for form in others if all(map(partial(_seen_shape, form, groups=1), form.inputs, read))]
        while True:
            try:
                found = _fitted(layer, read, sizes, settings, where)
                break
            except ValueError:
                if not others:
                    raise
                layer = others.pop(0)
        turned = self._turned_for(layer, read)
        shape = _shape_given(layer, turned[0], found[0])
        last = turned[0].last if layer.elementwise else len(shape) == 3
        value = Value(len(self.values), shape, last, where)
        self.values.append(value)
        one = Link(layer, tuple(v.number for v in turned), value.number, *found, value.lies)
        one.places = prod(read[0].shape[1:]) if layer.by_places and len(read[0].shape) == 3 else 1
        one.bias = settings.get("bias", True)
        if layer.inference:
            other = layer_named(layer.inference)
            own = {key: value for key, value in settings.items() if key in other.settings}
            its_sizes, its_settings = _fitted(other, read, sizes if other.free_sizes else (), own, where)
            one.inference = replace(one, layer=other, sizes=its_sizes, settings=its_settings)  # of the same arrays
        self.links.append(one)
        self._refuse_too_many(one, where)
        return one, value

    def _refuse_too_many(self, one: Link, where: str) -> None:
        """Raises ValueError at the layer with which parameters or units become more than memory can hold."""
        most = min(MOST, _memory() // 8)  # in single precision, a number and its gradient
        self._parameters += sum(prod(one.axes(slot)) for slot in (*one.layer.storage, *one.layer.states))
        self._units += prod(one.shape)
        for what, number in (("parameters", self._parameters), ("units in a sample", self._units)):
            if number > most:
                raise ValueError(
                    f"{where}: {shown(one.layer)!r} brings the network to {number:,} {what}; at most {most:,}"
                )

    def _turned_for(self, layer: Layer, read: list[Value]) -> list[Value]:
        """The values as they must lie for a layer."""
        axes = len(tensor(layer.inputs[0])[1]) - 1
        if layer.elementwise:
            alike = len({v.last for v in read if not v.both_ways}) < 2
            turned = read if alike else list(map(self._channels_last, read))
            main = next((v for v in turned if not v.both_ways), turned[0])
            return [Value(v.number, v.shape, main.last, v.source) for v in turned]
        by_planes = axes in (3, 4) or (layer.by_places and len(read[0].shape) == 3)
        return list(map(self._channels_last if by_planes else self._channels_first, read))

    def _channels_first(self, value: Value) -> Value:
        return self._turning(value, False) if value.last else value

    def _channels_last(self, value: Value) -> Value:
        return value if value.last or len(value.shape) != 3 else self._turning(value, True)

    def _turning(self, value: Value, last: bool) -> Value:
        """The same planes the other way round: places and channels change places, which is its own inverse."""
        if value.both_ways:
            return Value(value.number, value.shape, last, value.source)
        if value.number not in self._turned:
            layer = layer_named("flatten")
            channels, places = value.shape[0], prod(value.shape[1:])
            number = len(self.values)
            turned = Value(number, value.shape, last, value.source)
            _, r, c = tensor(layer.inputs[0])[1]
            sizes = {r: channels if last else places, c: places if last else channels}
            self.values.append(turned)
            self.links.append(Link(layer, (value.number,), number, sizes, {}, turned.lies))
            self._turned[value.number] = turned
        return self._turned[value.number]

    # Passes -----------------------------------------------------------------------------------------------------------

    def passed(self, training: bool) -> list[Link]:
        """The links of a pass that its output depends on: in training two that share kernels as one, else those in use."""
        needed, links = set(self.ends), []
        for one in reversed(self.links):
            if one.output in needed:
                links.append(one)
                needed |= set(one.inputs)
        links.reverse()
        return _fused(links, self.ends) if training else [one.inference or one for one in links]

    @property
    def planes(self) -> bool:
        """Whether a layer gives planes."""
        return any(len(value.shape) == 3 for value in self.values[1:])


def _fused(links: list[Link], ends: set[int]) -> list[Link]:
    """The links, neighbours that share kernels taken together; what lies between them nobody else may read."""
    known = {layer.fuses: layer for layer in LAYERS.values() if layer.fuses}
    readers = dict.fromkeys(ends, 1)
    for one in links:
        for number in one.inputs:
            readers[number] = readers.get(number, 0) + 1
    found: list[Link] = []
    by_output: dict[int, int] = {}
    for one in links:
        before = by_output.get(one.inputs[0])
        layer = known.get((found[before].layer.name, one.layer.name)) if before is not None else None
        if layer is None or readers[one.inputs[0]] > 1:
            by_output[one.output] = len(found)
            found.append(one)
            continue
        first = found[before]  # type: ignore[index]
        both = {"settings": first.settings | one.settings, "listed": f"{first.listed}, {one.listed}"}
        found[before] = replace(first, layer=layer, output=one.output, shape=one.shape, **both)  # type: ignore[index, arg-type]
        by_output[one.output] = before  # type: ignore[assignment]
    return found


def _memory() -> int:
    """The machine's memory in bytes, where it is known."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 8 * MOST


# What fits ------------------------------------------------------------------------------------------------------------


def layer_named(name: object) -> Layer:
    """The layer of that name; raises ValueError naming those there are."""
    if not isinstance(name, str) or name not in LAYERS:
        raise ValueError(f"there is no layer named {name!r}; there are {', '.join(sorted([*layer_names(), *HEADS]))}")
    return LAYERS[name]


def layer_names() -> list[str]:
    """The layers that a list of layers may name besides heads: all but those that stand in for another."""
    hidden = {"objective", *(f for one in LAYERS.values() for f in one.forms)}
    hidden |= {one.inference for one in LAYERS.values() if one.inference.startswith(one.name)}
    return sorted(name for name, one in LAYERS.items() if name not in hidden and not one.fuses)


def shown(layer: Layer) -> str:
    """The name by which a list of layers knows it: that of the one that it stands in for."""
    return next((one.name for one in LAYERS.values() if layer.name in one.forms), layer.name)


def forms_of(layer: Layer) -> list[Layer]:
    """The layer and those that stand in for it where other inputs are given."""
    return [layer, *map(layer_named, layer.forms)]


def in_groups(layer: Layer) -> bool:
    """Whether it takes planes whose channels are in groups, [n, g, c, y, x]: `groups` of them."""
    return len(tensor(layer.inputs[0])[1]) == 5


def sizes_of(layer: Layer, sizes: Sequence[int], where: str) -> dict[str, int]:
    """The sizes that the user gives a layer, by index; one number will do for the rows and columns of a filter."""
    free, given = layer.free_sizes, tuple(sizes)
    if len(tensor(layer.inputs[0])[1]) in (4, 5) and 1 <= len(given) == len(free) - 1:
        given += given[-1:]
    if len(given) != len(free):
        names = ", ".join(free) or "none"
        raise ValueError(f"{where}: {shown(layer)!r} takes {len(free)} sizes ({names}), {len(sizes)} were given")
    for name, size in zip(free, given, strict=True):
        if not isinstance(size, int | np.integer) or isinstance(size, bool) or size < 1:
            raise ValueError(f"{where}: size {name} of {shown(layer)!r} must be a positive integer, not {size!r}")
    return dict(zip(free, map(int, given), strict=True))


def settings_of(layer: Layer, given: Mapping[str, Any], where: str) -> dict[str, float | None]:
    """All settings of a layer: its defaults, and those given; None for one that is still to be said.

    ``padding`` sets the sides of a plane: one number, (rows, columns), or (top, bottom, left, right); ``size`` the rows and
    columns of a window.
    """
    not_of_kernels = (*NOT_OF_KERNELS, *(["groups"] if in_groups(layer) else []))
    given = {key: value for key, value in given.items() if key not in not_of_kernels}
    values = dict(layer.settings)
    window = [name for name in values if name[:1].isupper()]
    together = {"padding": [side for side in SIDES if side in values], "size": window}
    known = sorted({*values, *(name for name, parts in together.items() if parts)})
    unknown = sorted(set(map(str, given)) - set(known))
    if unknown:
        raise ValueError(f"{where}: {shown(layer)!r} has no setting {unknown}; it has {known}")
    said = dict[str, str]()  # by which name a setting was given
    for name, value in given.items():
        parts = together.get(name) or [name]
        said |= dict.fromkeys(parts, name)
        each = list(value) if isinstance(value, tuple | list) else [value] * len(parts)
        if len(each) == 2 and len(parts) == 4:
            each = [each[0]] * 2 + [each[1]] * 2
        if len(each) != len(parts):
            raise ValueError(
                f"{where}: setting {name} of {shown(layer)!r} must be one number, or {len(parts)} of them, not {value!r}"
            )
        values |= dict(zip(parts, each, strict=True))
    for name, value in values.items():
        least, what = layer.counts.get(name), f"setting {said.get(name, name)} of {shown(layer)!r}"
        if name in layer.settings and value is None and name not in given:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not np.isfinite(value):
            raise ValueError(f"{where}: {what} must be a finite number, not {value!r}")
        if least is not None and not (value == int(value) and value >= least):
            raise ValueError(f"{where}: {what} must be a whole number, {least} or more, not {value!r}")
    return values


def _groups(layer: Layer, settings: Mapping[str, Any], numbers: Mapping[str, int], where: str) -> int:
    """In how many groups the channels are; ``numbers`` of what they must divide. Raises ValueError if they do not."""
    if not in_groups(layer):
        return 1
    groups = settings.get("groups")
    if not isinstance(groups, int | np.integer) or isinstance(groups, bool) or groups < 1:
        raise ValueError(
            f"{where}: {shown(layer)!r} needs the setting groups, a whole number, 1 or more, not {groups!r}"
        )
    for what, number in numbers.items():
        if number % groups:
            raise ValueError(f"{where}: {shown(layer)!r} in {groups} groups: they do not divide its {number} {what}")
    return int(groups)


def _seen_shape(layer: Layer, slot: str, value: Value, groups: int) -> tuple[int, ...] | None:
    """The shape of a sample as a layer's input takes it; None if it cannot."""
    axes = len(tensor(slot)[1]) - 1
    if layer.by_places and len(value.shape) == 3:
        return value.shape[:1]
    if axes == 1:
        return (prod(value.shape),)  # a layer of rows takes any sample as one row
    if in_groups(layer):
        return (groups, value.shape[0] // groups, *value.shape[1:]) if len(value.shape) == 3 else None
    return value.shape if len(value.shape) == axes else None


def _fitted(
    layer: Layer, read: Sequence[Value], sizes: Sequence[int], settings: Mapping[str, Any], where: str
) -> tuple[dict[str, int], dict[str, np.ndarray]]:
    """(the sizes of its indices, its settings) of a layer that reads these values. Raises ValueError if they do not fit."""
    shapes = " and ".join(f"{value.source} {value.shape}" for value in read)
    values, found, own = settings_of(layer, settings, where), dict[str, int](), sizes_of(layer, sizes, where)
    if layer.elementwise and len({value.shape for value in read}) > 1:
        raise ValueError(f"{where}: {shown(layer)!r} takes samples of one shape, not {shapes}")
    outputs = tensor(layer.outputs[0])[1]
    filters = outputs[2] if in_groups(layer) else ""
    numbers = {"channels": read[0].shape[0], **({"filters": own[filters]} if filters in own else {})}
    groups = _groups(layer, settings, numbers, where)
    for slot, value in zip(layer.inputs, read, strict=True):
        _, (_, *axes) = tensor(slot)
        shape = _seen_shape(layer, slot, value, groups)
        if shape is None:
            planes = "planes (channels, rows, columns)" if len(axes) > 2 else f"{len(axes)} axes"
            raise ValueError(f"{where}: {shown(layer)!r} takes samples of {planes}, not {shapes}")
        for index, size in zip(axes, shape, strict=True):
            if found.setdefault(index, size) != size:
                raise ValueError(f"{where}: {shown(layer)!r} of {shapes}: {index} cannot be {found[index]} and {size}")
    found |= own | ({filters: own[filters] // groups} if filters in own else {})
    for name, function in layer.sizes.items():
        if name not in layer.settings:
            found[name] = _of(function, found, values)
        elif name not in settings:
            values[name] = _of(function, found, values)
    missing = [name for name, value in values.items() if value is None]
    if missing:
        raise ValueError(f"{where}: {shown(layer)!r} needs the setting {missing[0]}")
    if any(found[index] < 1 for index in layer.sizes if index in found):
        raise ValueError(f"{where}: {shown(layer)!r} of {shapes}: {_nothing_left(layer, found, values)}")
    for relation in layer.given:
        if not _of(relation, found, values):
            said = _with_values(relation, found, values)
            raise ValueError(f"{where}: {shown(layer)!r} of {shapes}: {said}; that must hold")
    return found, {name: np.array([float(value)]) for name, value in values.items() if value is not None}


def _shape_given(layer: Layer, value: Value, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """The shape of a sample that a layer gives."""
    if layer.elementwise:
        return value.shape
    shape = tuple(sizes[index] for index in tensor(layer.outputs[0])[1][1:])
    if layer.by_places and len(value.shape) == 3:
        return (*shape, *value.shape[1:])
    return (shape[0] * shape[1], *shape[2:]) if len(shape) == 4 else shape


def _arguments(function: Callable, sizes: Mapping[str, int], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes and settings that a function asks for: ``P`` is the size of index ``p``."""
    names = inspect.signature(function).parameters
    return {n: settings[n] if n in settings else sizes[n[:1].lower() + n[1:]] for n in names}


def _of(function: Callable, sizes: Mapping[str, int], settings: Mapping[str, Any]) -> Any:
    values = _arguments(function, sizes, settings)
    return function(**{name: int(v) if v == int(v) else v for name, v in values.items()})


def _with_values(function: Callable, sizes: Mapping[str, int], settings: Mapping[str, Any]) -> str:
    values = _arguments(function, sizes, settings)
    return f"{function.__doc__} with {', '.join(f'{name} = {v}' for name, v in values.items())}"


def _nothing_left(layer: Layer, sizes: Mapping[str, int], settings: Mapping[str, Any]) -> str:
    """Why a size comes out below one: of windows, that they are larger than what they go over."""
    known = {index[:1].upper() + index[1:]: size for index, size in sizes.items()} | dict(settings)
    if {"P", "Q", "U", "V", *SIDES} <= set(known):
        window = [known.get("dilation", 1) * (known[name] - 1) + 1 for name in "UV"]
        padded = [known["P"] + known["top"] + known["bottom"], known["Q"] + known["left"] + known["right"]]
        return f"a filter of {window[0]} x {window[1]} is larger than its padded input of {padded[0]} x {padded[1]}"
    index, function = next((i, f) for i, f in layer.sizes.items() if sizes.get(i, 1) < 1)
    return f"nothing is left: {_with_values(function, sizes, settings)}, which is {sizes[index]}"
