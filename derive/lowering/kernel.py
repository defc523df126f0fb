"""What lowering makes and templates print: kernels of loops, assignments and contractions, expressions as Python text."""

from dataclasses import dataclass, field

import sympy as sp


@dataclass
class Assign:
    """``left operator right``, the operator being ``=``, ``+=``, ``-=`` or ``*=``."""

    left: str
    right: str
    operator: str = "="


@dataclass
class Loop:
    """``for index in range(first, last)``; ``plain``: the index is only ever an address as it stands.

    ``lanes``: several at a time, from 0 to ``last``.
    """

    index: str
    first: str
    last: str
    body: list = field(default_factory=list)
    plain: bool = False
    lanes: bool = False


@dataclass
class While:
    """``while condition``."""

    condition: str
    body: list = field(default_factory=list)


@dataclass
class If:
    """``if condition``."""

    condition: str
    body: list = field(default_factory=list)


@dataclass
class Ahead:
    """``routine(array, place)``: a vector that is wanted soon is asked for, and nothing changed."""

    array: str
    place: str
    routine: str = "ahead"


@dataclass
class EngineCall:
    """A call of the contraction engine: its routine and its arguments by name, in order; the variable for what it gives."""

    routine: str
    arguments: dict[str, str]
    result: str = ""


@dataclass
class Kernel:
    """One generated function over ``[first, last)`` of its split index, or of several counted through together: "n i".

    ``arguments`` are arrays with their indices in the order of storage, ``dtypes`` those of them that have another dtype
    than the network. ``flat`` says that the kernel sees each of them as one long row, because it treats all elements alike;
    ``lane`` is the index that it goes over several at a time, in vectors of at most so many ``registers`` (0: as many as
    there usually are); ``fixed`` are scalars, and indices by their sizes, whose values are compiled into it.
    """

    name: str
    arguments: dict[str, tuple[str, ...]]
    writes: tuple[str, ...]
    split: str
    body: list
    equations: list[str] = field(default_factory=list)
    scalars: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    dtypes: dict[str, str] = field(default_factory=dict)
    flat: bool = False
    lane: str = ""
    registers: int = 0
    fixed: tuple[str, ...] = ()
    contracts: bool = False
    local: bool = True  # whether a row of the split reads only its own row of what shares the split index
    notes: list[str] = field(default_factory=list)
    box: sp.Expr | None = None  # the elements of working memory that it needs for what it reads through windows
    typed: str = ""  # the array whose dtype the arithmetic has, if any constant needs one
    vectors: tuple[str, ...] = ()  # the summed index and the lane of a contraction by minimal filtering
    filtered: "Filtered | None" = None  # other kernels that do the same
    across: "Kernel | None" = None  # one that does the same over ranges of the other index of what it writes


@dataclass
class Filtered:
    """Kernels that do the same as another by minimal filtering, where the ``settings`` have these values.

    ``places`` are the index of planes ("" without one) and those of places in them, ``taps`` those of the filter's places.
    """

    kernels: list[Kernel]
    places: tuple[str, ...]
    taps: tuple[str, ...]
    inner: str
    lane: str
    groups: tuple[str, ...]
    settings: dict[str, int]


@dataclass
class Phase:
    """Kernels that run one after the other, and the arrays that they hand on to each other, in the order of storage."""

    kernels: list[Kernel]
    buffers: dict[str, tuple[str, ...]]
