"""How a contraction through windows is computed: directly, or by minimal filtering with tiles of one size or another.

The choice follows from the sizes and the accuracy asked for, never from a timing: the same network has the same bits on
every machine. What is counted are multiplications, and elements that are moved, in multiplications that take as long.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from .engine import DEPTH, FEW, PLACES
from .filtered import Filtering, chained
from .filtering import FILTERINGS
from .program import Filtered, Kernel
from .tiles import PIECE, TILES, lanes_held, rows_at_once, working_memory

ACCURACIES = {"default": 1.75, "fast": 5.5, "direct": 0.0}
"""The growth of rounding errors that each allows, as `_Shape.growth` expects it."""
DEFAULT = "default"

LANES = 8  # lanes are counted in whole vectors of so many, the last one too
MOVED = 4  # multiplications that take as long as to move an element within the cache
FAR = 16  # and from memory or to it
NEAR = 1 << 18  # elements of a filter, transformed, that stay in the cache from one strip of tiles to the next
WORTH = 1 << 22  # the least direct cost that another way is compiled for
GAIN = 0.9  # of the direct way's cost, at most, for another to be taken
SHARES = 8  # of the places, at most, in which a filter's gradient is added up

_IDENTITY = FILTERINGS[1, 1]


@dataclass(frozen=True)
class Way:
    """How a kernel's result is computed: by itself, or by `filtering` along rows and columns, in so many shares of places.

    name and why: for people. room: elements of working memory. cost: in multiplications. products: those of the tiles.
    """

    name: str
    why: str
    cost: float
    filtering: tuple[Filtering, Filtering] | None = None
    shares: int = 1
    room: int = 0
    products: int = 0


def choose(
    kernel: Kernel, sizes: Mapping[str, int], settings: Mapping[str, float], accuracy: str, tile: Sequence[int] = ()
) -> Way | None:
    """The way with the least cost among those that the accuracy allows; None where the kernel's own is the only one.

    sizes: of the indices of the kernel's arrays. tile: places along rows and columns; then tiles of so many are taken
    wherever there is such a filtering, whatever it costs.
    """
    other = kernel.filtered
    if other is None or any(settings.get(name) != value for name, value in other.settings.items()):
        return None
    shape = _Shape.of(other, sizes)
    if shape.taps == (1, 1):
        return None
    pairs = list(product(_filterings(shape.taps[0]), _filterings(shape.taps[1])))
    if tile:
        chosen = [pair for pair in pairs if all(f.m == m or f.r == 1 for f, m in zip(pair, tile, strict=True))]
        return shape.filtered(chosen[0], "asked for") if chosen else None
    direct, most = shape.direct(), ACCURACIES[accuracy]
    if direct < WORTH:
        return Way("direct", "too little work for another way", direct)
    allowed = [pair for pair in pairs if shape.growth(pair) <= most]
    if not allowed:
        why = f"no other way has rounding errors of at most {most:g} times its own" if most else ""
        return Way("direct", why, direct)
    best = min(allowed, key=shape.cost)
    part = shape.cost(best) / direct
    if part > GAIN:
        return Way("direct", f"{_name(best)} would cost {part:.2f} of it", direct)
    return shape.filtered(best, f"{part:.2f} of the direct cost, {shape.growth(best):.1f} times its rounding error")


def _filterings(taps: int) -> list[Filtering]:
    """Those of a filter with so many taps along an axis."""
    return [_IDENTITY] if taps == 1 else [f for f in FILTERINGS.values() if f.r == taps]


def _name(pair: tuple[Filtering, Filtering]) -> str:
    """F(2x2, 3x3), or F(2, 3) where the other axis has one tap."""
    rows, columns = pair
    if 1 in (rows.r, columns.r):
        only = columns if rows.r == 1 else rows
        return f"F({only.m}, {only.r})"
    return f"F({rows.m}x{columns.m}, {rows.r}x{columns.r})"


def _whole(lanes: int) -> int:
    """So many lanes in whole vectors."""
    return -(-lanes // LANES) * LANES


@dataclass(frozen=True)
class _Shape:
    """The sizes of a contraction: planes, places in each, taps, channels summed, lanes, groups; whether it is a gradient."""

    planes: int
    places: tuple[int, int]
    taps: tuple[int, int]
    channels: int
    lanes: int
    groups: int
    gradient: bool

    @classmethod
    def of(cls, other: Filtered, sizes: Mapping[str, int]) -> "_Shape":
        plane, *places = other.places
        tall, wide = [*(sizes[index] for index in places), 1][:2]
        rows, columns = [*(sizes[index] for index in other.taps), 1][:2]
        gradient = "share" in other.kernels[0].sizes
        return cls(
            sizes.get(plane, 1), (tall, wide), (rows, columns), sizes[other.inner], sizes[other.lane],
            prod(sizes[index] for index in other.groups), gradient,
        )  # fmt: skip

    def tiles(self, pair: tuple[Filtering, Filtering]) -> tuple[int, int]:
        """Rows of tiles in all planes, tiles in each row."""
        tall, wide = (-(-size // f.m) for size, f in zip(self.places, pair, strict=True))
        return self.planes * tall, wide

    def growth(self, pair: tuple[Filtering, Filtering]) -> float:
        """Of rounding errors: expected, as a multiple of the direct sum's in its most accurate order, tap by tap."""
        if self.gradient:
            one, two = (f.rounding_gradients for f in pair)
            tiles, (tall, wide) = prod(self.tiles(pair)), self.places
            return one.nested(two).growth(tiles, chained(1, tiles, TILES), chained(self.planes * tall, wide, PLACES))
        one, two = (f.rounding for f in pair)
        by_taps = chained(prod(self.taps), self.channels, min(self.channels, DEPTH))
        return one.nested(two).growth(self.channels, chained(1, self.channels, PIECE), by_taps)

    def direct(self) -> float:
        """The cost of the contraction itself, every operand but the filter moved once."""
        places = self.planes * prod(self.places)
        along_places = self.lanes <= FEW and self.places[1] > 1 and not self.gradient  # as the engine has it
        lanes = self.lanes if along_places else _whole(self.lanes)
        work = prod(self.taps) * self.channels * lanes + MOVED * (2 * self.channels + self.lanes)
        return float(self.groups * places * work)

    def cost(self, pair: tuple[Filtering, Filtering]) -> float:
        """The cost by minimal filtering: the products, and what the transforms move."""
        (rows, columns), (tall, wide) = pair, self.tiles(pair)
        parts, tiles, filters = rows.n * columns.n, tall * wide, self.channels * self.lanes
        far = FAR if parts * filters > NEAR else MOVED
        work = parts * tiles * self.channels * _whole(self.lanes)
        work += MOVED * tiles * _whole(self.channels) * 2 * (rows.m * columns.n + parts)
        work += MOVED * tiles * _whole(self.lanes) * (2 * parts + rows.m * columns.m)
        strips = -(-tall // self._at_once(pair))
        if self.gradient:
            work += (
                MOVED * 2 * strips * parts * filters + far * (self._shares(pair) * parts + prod(self.taps)) * filters
            )
        else:
            work += MOVED * strips * parts * filters + far * (2 * parts + prod(self.taps)) * filters
        return float(self.groups * work)

    def filtered(self, pair: tuple[Filtering, Filtering], why: str) -> Way:
        room = working_memory(*pair, self.tiles(pair)[1], self.channels, self._held)
        products = self.groups * pair[0].n * pair[1].n * prod(self.tiles(pair)) * self.channels * self.lanes
        return Way(_name(pair), why, self.cost(pair), pair, self._shares(pair), room, products)

    @property
    def _held(self) -> int:
        """Lanes whose products, or sensitivities, are held at once."""
        return self.lanes if self.gradient else lanes_held(self.lanes)

    def _at_once(self, pair: tuple[Filtering, Filtering]) -> int:
        return rows_at_once(*pair, self.tiles(pair)[1], self.channels, self._held)

    def _shares(self, pair: tuple[Filtering, Filtering]) -> int:
        """Of the places: as many as take no more memory than what is read."""
        if not self.gradient:
            return 1
        of_one = pair[0].n * pair[1].n * self.channels * self.lanes
        read = self.planes * prod(self.places) * (self.channels + self.lanes)
        return max(1, min(SHARES, read // of_one, self.tiles(pair)[0]))
