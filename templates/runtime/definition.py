"""What the generated modules define, by name: layers, costs, pairs of both, heads of detectors, update rules.

A tensor is written ``name[index, ...]``, an array with its indices in the order of storage.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from .program import Kernel


def tensor(text: str) -> tuple[str, tuple[str, ...]]:
    """The name and the indices of ``name[index, ...]``, whether or not a dtype follows."""
    name, _, inside = text.partition("[")
    return name, tuple(re.findall(r"\w+", inside.partition("]")[0]))


def stored(text: str) -> str:
    """The slot of an input or output in the order of its storage: planes ``[n, c, y, x]`` are stored channels last, and so
    are channels in groups, ``[n, g, c, y, x]``."""
    name, axes = tensor(text)
    if len(axes) in (4, 5):
        n, *channels, y, x = axes
        axes = (n, y, x, *channels)
    return f"{name}[{', '.join(axes)}]"


@dataclass(frozen=True)
class Layer:
    """A layer: its tensors and its kernels.

    ``inputs``, ``parameters``, ``outputs`` as declared; ``storage`` is the order in which a parameter's indices lie in
    memory; ``buffers`` are intermediate arrays; ``fan_in`` the indices summed with a parameter, ``initial`` the first
    value of a parameter or state where it is not drawn at random or zero. ``states`` are kept from step to step: a kernel
    that writes ``x_new`` gives state ``x`` its new value. ``random`` arrays are drawn at every step, uniform in [0, 1).
    ``settings`` are the defaults of its scalars, ``counts`` those that are whole numbers, with the least that each may be.
    ``sizes`` gives for an index (or a setting) the function of other sizes (``P`` is that of index ``p``) and of settings
    that its size is, ``given`` functions of them that must hold. ``inference`` names the layer that takes this one's place
    outside of training, ``forms`` those that do where the inputs do not fit this one. ``groups`` are indices that count
    groups of another, (index, how many of it make a group); ``fuses`` are the two layers, one after the other, that this
    one is in the place of. A kernel of ``descent`` takes the place of that for a parameter's gradient and of an update that
    is linear: it gives the parameter its new value at once.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: tuple[str, ...] = ()
    storage: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    random: tuple[str, ...] = ()
    buffers: tuple[str, ...] = ()
    fan_in: dict[str, tuple[str, ...]] = field(default_factory=dict)
    initial: dict[str, float] = field(default_factory=dict)
    settings: dict[str, float | None] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, Callable[..., int]] = field(default_factory=dict)
    given: tuple[Callable[..., bool], ...] = ()
    inference: str = ""
    forms: tuple[str, ...] = ()
    groups: dict[str, tuple[str, int]] = field(default_factory=dict)
    fuses: tuple[str, ...] = ()
    forward: tuple[Kernel, ...] = ()
    backward: tuple[Kernel, ...] = ()
    descent: tuple[Kernel, ...] = ()

    @property
    def free_sizes(self) -> tuple[str, ...]:
        """Indices whose size no input and no other size fixes: the user gives these, in this order."""
        known = {i for x in self.inputs for i in tensor(x)[1]} | set(self.sizes)
        return tuple(
            dict.fromkeys(i for x in (*self.parameters, *self.outputs) for i in tensor(x)[1] if i not in known)
        )

    @property
    def elementwise(self) -> bool:
        """Whether all elements are treated alike, so that samples of any shape will do."""
        kernels = (*self.forward, *self.backward)
        return not self.storage and all(axes == ("i",) for k in kernels for axes, _ in k.arrays.values())

    @property
    def by_places(self) -> bool:
        """Whether its rows m are samples and places: planes are rows of channels to it, as they lie."""
        return tensor(self.inputs[0])[1][0] == "m"


@dataclass(frozen=True)
class Cost:
    """A cost of each sample, from the network's outputs and the targets; ``backward`` is the gradient of the mean cost.

    ``totals`` are indices over which the targets of a sample must add up to the value given.
    """

    name: str
    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    outputs: tuple[str, ...]
    totals: dict[str, float] = field(default_factory=dict)
    buffers: tuple[str, ...] = ()
    settings: dict[str, float] = field(default_factory=dict)
    forward: tuple[Kernel, ...] = ()
    backward: tuple[Kernel, ...] = ()


@dataclass(frozen=True)
class Pair:
    """A last layer and a cost whose derivatives simplify when they are taken together."""

    name: str
    layer: str
    cost: str
    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    outputs: tuple[str, ...]
    buffers: tuple[str, ...] = ()
    settings: dict[str, float] = field(default_factory=dict)
    forward: tuple[Kernel, ...] = ()
    backward: tuple[Kernel, ...] = ()


@dataclass(frozen=True)
class Head:
    """The end of a detector: what planes say of each prediction, and its own cost of that.

    ``forward`` kernels give all ``outputs`` but the last, the cost of a sample, which the ``cost`` kernels give once the
    ``targets`` are there; ``backward`` is the gradient of the mean cost. ``constants`` are data of each prediction.
    """

    name: str
    inputs: tuple[str, ...]
    constants: tuple[str, ...]
    targets: tuple[str, ...]
    outputs: tuple[str, ...]
    buffers: tuple[str, ...] = ()
    settings: dict[str, float | None] = field(default_factory=dict)
    sizes: dict[str, Callable[..., int]] = field(default_factory=dict)
    forward: tuple[Kernel, ...] = ()
    cost: tuple[Kernel, ...] = ()
    backward: tuple[Kernel, ...] = ()


@dataclass(frozen=True)
class Rule:
    """An update rule: one kernel over the elements of a parameter, its gradient, and the states it keeps.

    Where w_new = kept w + share nabla with factors of settings alone, the kernel ``linear`` computes these.
    """

    name: str
    parameter: str
    gradient: str
    states: tuple[str, ...] = ()
    settings: dict[str, float | None] = field(default_factory=dict)
    update: tuple[Kernel, ...] = ()
    linear: tuple[Kernel, ...] = ()


LAYERS: dict[str, Layer] = {}
COSTS: dict[str, Cost] = {}
PAIRS: dict[tuple[str, str], Pair] = {}
HEADS: dict[str, Head] = {}
RULES: dict[str, Rule] = {}


def register(*definitions: Layer | Cost | Pair | Head | Rule) -> None:
    """Make definitions known by name to :class:`Network`; a later one of the same name takes the place of an earlier.

    Raises TypeError for anything that is not a definition.
    """
    for definition in definitions:
        if isinstance(definition, Pair):
            PAIRS[definition.layer, definition.cost] = definition
        elif isinstance(definition, Layer | Cost | Head | Rule):
            known = {Layer: LAYERS, Cost: COSTS, Head: HEADS, Rule: RULES}[type(definition)]
            known[definition.name] = definition  # type: ignore[index, assignment]
        else:
            raise TypeError(f"a Layer, Cost, Pair, Head or Rule was expected, not {type(definition).__name__}")
