"""The product of a constant matrix with a vector as straight lines of few operations, each rounded once.

Rows (or columns) that differ in signs alone, as those of the points p and -p, share their sums and differences.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

Row = Sequence[Fraction]


@dataclass(frozen=True)
class Operation:
    """target = factor first + sign second: a fused multiply-add, a sum or a difference; without a second one, a multiple."""

    target: str
    factor: Fraction
    first: str
    sign: int = 0
    second: str = ""

    @property
    def rounds(self) -> bool:
        """Whether its result is rounded: all but a multiple by a power of two."""
        return bool(self.sign) or not (is_binary(self.factor) and is_binary(1 / self.factor))

    def text(self, first: str, second: str) -> str:
        """The right side as Python, with `fma` and `times` of the runtime, for these texts of its operands."""
        c = self.factor
        if not self.sign:
            return f"-{first}" if c == -1 else f"times({_constant(c)}, {first})"
        if c == 1:
            return f"{first} {'-' if self.sign < 0 else '+'} {second}"
        return f"fma({_constant(c)}, {first}, {'-' if self.sign < 0 else ''}{second})"


def _constant(c: Fraction) -> str:
    return str(c.numerator) if c.denominator == 1 else f"({c.numerator}, {c.denominator})"


@dataclass
class Program:
    """Straight lines: what they read, what they do in this order, and which names are their results."""

    reads: tuple[str, ...]
    operations: list[Operation] = field(default_factory=list)
    results: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.operations)

    @property
    def lines(self) -> list[str]:
        """The operations as Python; what goes on with its own target is one line."""
        found: dict[str, str] = {}
        for o in self.operations:
            first, second = (found.get(name, name) if name == o.target else name for name in (o.first, o.second))
            found[o.target] = o.text(first, second)
        return [f"{target} = {text}" for target, text in found.items()]

    def add(self, target: str, factor: Fraction, first: str, sign: int = 0, second: str = "") -> str:
        """One more operation; its target."""
        self.operations.append(Operation(target, factor, first, sign, second))
        return target

    def total(self, target: str, terms: Sequence[tuple[Fraction, str]]) -> str:
        """target = the sum of all factor * name, unless it is a name already."""
        terms = sorted(terms, key=lambda t: (t[0] != 1, abs(t[0]) != 1))  # stable: what needs no factor comes first
        if not terms:
            raise ValueError(f"{target} is zero")
        if len(terms) == 1 and terms[0][0] == 1:
            return terms[0][1]
        (factor, done), *rest = terms
        sign = -1 if factor == -1 and rest else 1
        if factor != sign:
            done = self.add(target, factor, done)
        for c, name in rest:
            if c in (1, -1) and sign == 1:
                done = self.add(target, Fraction(1), done, int(c), name)
            else:
                done = self.add(target, c, name, sign, done)
            sign = 1
        return done


def product(matrix: Sequence[Row], read: str, made: str) -> Program:
    """The product with the vector read0, read1, ...: made0, made1, ... with as few operations as either pairing gives."""
    ways = (_by_rows(matrix, read, made), _by_columns(matrix, read, made))
    return min(ways, key=len)


def _by_rows(matrix: Sequence[Row], read: str, made: str) -> Program:
    """u + v and u - v for two rows that are equal in some columns and opposite in all others."""
    names = [f"{read}{k}" for k in range(len(matrix[0]))]
    program = Program(tuple(names))
    results: dict[int, str] = {}
    for number, (i, j) in enumerate(_pairs(matrix)):
        equal = [(c, x) for c, other, x in zip(matrix[i], matrix[j], names, strict=True) if c and c == other]
        opposite = [(c, x) for c, other, x in zip(matrix[i], matrix[j], names, strict=True) if c and c != other]
        factor = min((c for c, _ in opposite), key=lambda c: _work([o / c for o, _ in opposite]))
        even = program.total(f"even{number}", equal)
        odd = program.total(f"odd{number}", [(c / factor, x) for c, x in opposite])
        for k, c in ((i, factor), (j, -factor)):
            results[k] = program.total(f"{made}{k}", [(Fraction(1), even), (c, odd)])
    for i, row in enumerate(matrix):
        if i not in results:
            results[i] = program.total(f"{made}{i}", [(c, x) for c, x in zip(row, names, strict=True) if c])
    program.results = [results[i] for i in range(len(matrix))]
    return program


def _by_columns(matrix: Sequence[Row], read: str, made: str) -> Program:
    """The transpose of `_by_rows`: sums and differences of two that all rows take equally or with opposite signs."""
    program = Program(tuple(f"{read}{k}" for k in range(len(matrix[0]))))
    terms: list[list[tuple[Fraction, str]]] = [[] for _ in matrix]
    columns = list(zip(*matrix, strict=True))
    pairs = {i: (number, j) for number, (i, j) in enumerate(_pairs(columns))}
    second = {j for _, j in pairs.values()}
    for i, column in enumerate(columns):
        if i in second:
            continue
        plus = minus = f"{read}{i}"
        if i in pairs:
            number, j = pairs[i]
            plus = program.add(f"sum{number}", Fraction(1), f"{read}{i}", 1, f"{read}{j}")
            minus = program.add(f"difference{number}", Fraction(1), f"{read}{i}", -1, f"{read}{j}")
        for k, c in enumerate(column):
            if c:
                terms[k].append((c, minus if i in pairs and columns[pairs[i][1]][k] != c else plus))
    program.results = [program.total(f"{made}{k}", of) for k, of in enumerate(terms)]
    return program


def _pairs(rows: Sequence[Row]) -> Iterator[tuple[int, int]]:
    """Two rows at a time that differ in signs, but are not opposite: each in one pair at most."""
    free = list(range(len(rows)))
    for i in range(len(rows)):
        for j in range(i + 1, len(rows)):
            same_size = all(abs(a) == abs(b) for a, b in zip(rows[i], rows[j], strict=True))
            signs = {a == b for a, b in zip(rows[i], rows[j], strict=True) if a}
            if i in free and j in free and same_size and len(signs) == 2:
                free.remove(i)
                free.remove(j)
                yield i, j


def _work(factors: Sequence[Fraction]) -> tuple[int, int]:
    """How many factors are to be multiplied by, then how many of them are no binary fractions, and so rounded."""
    return sum(abs(c) != 1 for c in factors), sum(not is_binary(c) for c in factors)


def is_binary(c: Fraction) -> bool:
    """Whether the denominator is a power of two."""
    return c.denominator & (c.denominator - 1) == 0
