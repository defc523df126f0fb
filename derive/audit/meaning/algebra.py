r"""Expressions in components, whatever their letters mean: sums, products, quotients, powers, matrices, sliding products.

A letter with component indices is a number; without, it is a vector, a matrix or a plane for each channel, whose
product, transpose and elementwise product are checked for shape. Components are counted from 1 in documents and from 0
here. Where a notation can mean several things, the binder asks (`Reading.choose`), and what was chosen is part of the
verdict. What it cannot bind, it refuses. What the letters mean is for a subclass to say.
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import NoReturn

import sympy as sp

from derive.audit.meaning.scripts import nodes
from derive.audit.meaning.values import Axis, Misshapen, Unbindable, Value, within
from derive.audit.meaning.vocabulary import SLIDING, VECTORS, Reading
from derive.audit.syntax import formula as f

HIGHEST_POWER = 6
LARGEST = 4000  # bits of a number that is worked out
MOST_SUMS = 8
MOST_SLIDING = 3
SLIDES = ("*", "star", "circledast")


class Algebra:
    """Turns the nodes of one relation into values; keeps what the letters of its indices run over."""

    planes = False  # whether values may be planes, which `*` slides over one another
    featurewise = False  # whether products of vectors may be taken element by element

    def __init__(self, reading: Reading, relation: f.Relation) -> None:
        self.reading, self.relation = reading, relation
        self.mismatches: list[tuple[sp.Expr, sp.Expr]] = []
        self.uses: dict[sp.Symbol, list[sp.Expr]] = {}  # the sizes that each index letter has to run over
        self.scope: dict[str, sp.Symbol] = {}  # summed letters
        self.extents: dict[str, sp.Expr] = {}  # letters that stand for a size, over a sum
        self.slid_so_far = 0
        self.everything = list(nodes(relation))
        sums = [n for n in self.everything if isinstance(n, f.Summation)]
        if len(sums) > MOST_SUMS:
            raise Unbindable(f"more than {MOST_SUMS} sums", sums[MOST_SUMS].at)
        slid = [n for n in self.everything if isinstance(n, f.Product) and n.operator in SLIDES]
        if self.planes and len(slid) > MOST_SLIDING:
            raise Unbindable(f"more than {MOST_SLIDING} convolutions", slid[MOST_SLIDING].at)

    # -- what a subclass says -------------------------------------------------------------------------------------

    def symbol(self, node: f.Scripted) -> Value:
        """A letter or word with its scripts."""
        raise NotImplementedError

    def applied(self, function: f.Scripted, argument: f.Node, node: f.Node) -> Value:
        """A function of the field at its argument."""
        raise Unbindable("the function is not known here", node.at)

    def canonical(self, size: sp.Expr) -> sp.Expr:
        """A size in the terms in which sizes are compared."""
        return size

    def size_between(self, letter: str, k: sp.Symbol, node: f.Summation) -> list[sp.Expr]:
        """What a summed letter runs over that stands at nothing in the sum."""
        raise Unbindable(f"the sum runs over {letter}, which is no index of what it sums", node.at)

    def is_extent(self, size: sp.Expr, letter: str) -> bool:
        """Whether a letter over a sum may stand for that size."""
        return True

    # -- values ---------------------------------------------------------------------------------------------------

    def value(self, node: f.Node) -> Value:
        kind = type(node).__name__.lower()
        method = getattr(self, f"_{kind}", None)
        if method is None:
            raise Unbindable("this has no meaning here", node.at)
        return method(node)

    def _number(self, node: f.Number) -> Value:
        return Value(sp.Rational(node.value.numerator, node.value.denominator))

    def _group(self, node: f.Group) -> Value:
        return self.value(node.body)

    def _name(self, node: f.Name) -> Value:
        return self.symbol(f.Scripted(node, at=node.at))

    def _word(self, node: f.Word) -> Value:
        return self.symbol(f.Scripted(node, at=node.at))

    def _scripted(self, node: f.Scripted) -> Value:
        if isinstance(node.base, f.Name | f.Word):
            return self.symbol(node)
        if node.primes:
            return self.primed(node)
        if isinstance(node.base, f.Norm) and node.sup == (f.Number(Fraction(2)),):
            return self.squared_length(self.value(node.base.body), node.at)
        value = self.value(node.base)
        for item in node.sup:
            if item == f.Name("T"):
                value = self.transposed(value)
            elif len(node.sup) == 1 and (exponent := constant(item)) is not None:
                value = self.power(value, exponent, item.at)
            else:
                raise Unbindable("a superscript that is neither a power nor a transpose", item.at)
        return self.component(value, node) if node.sub else value

    def primed(self, node: f.Scripted) -> Value:
        r"""`g(y)'`, the derivative of g at y."""
        if not isinstance(node.base, f.Application):
            raise Unbindable("a prime belongs to a function", node.at)
        function = node.base.function if isinstance(node.base.function, f.Scripted) else f.Scripted(node.base.function)
        inside = replace(function, primes=function.primes + node.primes)
        return self._scripted(replace(node, base=replace(node.base, function=inside), primes=0))

    def transposed(self, value: Value) -> Value:
        self.reading.choose("vectors", VECTORS)
        if value.channels or value.lead:
            raise Unbindable("a transpose of what has more than two indices", self.relation.at)
        return Value(value.body, value.col, value.row)

    def squared_length(self, value: Value, at: int) -> Value:
        if not value.axes:
            raise Unbindable("the norm of a number", at)
        body = value.body**2
        for axis in value.axes:
            body = self.summed(body, axis)
        return Value(body)

    def power(self, value: Value, exponent: Fraction, at: int) -> Value:
        whole = exponent.denominator == 1 and exponent >= 0
        if abs(exponent) > HIGHEST_POWER or exponent.denominator > 2:
            raise Unbindable(f"only powers up to {HIGHEST_POWER} are understood, whole or half ones", at)
        if isinstance(value.body, sp.Rational):
            if max(abs(value.body.p), value.body.q).bit_length() * int(abs(exponent) + 1) > LARGEST:
                raise Unbindable("a number of too many digits", at)
            if not whole and value.body <= 0:
                raise Unbindable("a root of a number that is not positive, or a division by zero", at)
        raised = value.body ** sp.Rational(exponent.numerator, exponent.denominator)
        if not value.axes:
            return Value(raised)
        if self.featurewise and not (value.row and value.col):
            self.feature_by_feature()
            return replace(value, body=raised)
        vector = bool(value.row) != bool(value.col) and not value.channels
        if exponent == 2 and vector:
            self.reading.choose("square of a vector", ("sum of squares",))
            return Value(self.summed(value.body**2, value.places[0]))
        raise Unbindable("a power of a vector or matrix", at)

    def feature_by_feature(self) -> None:
        self.reading.choose("products of vectors", ("feature by feature",))

    def component(self, value: Value, node: f.Scripted) -> Value:
        letters = list(self.index_items(node.sub))
        axes = value.axes if len(letters) == len(value.axes) else value.places
        if len(letters) != len(axes):
            raise Unbindable(f"{len(letters)} indices on what has {len(axes)}", node.at)
        body = value.body
        for (axis, size), item in zip(axes, letters, strict=True):
            body = body.xreplace({axis: self.index(item, size)})
        return Value(body, channels=tuple(c for c in value.channels if c not in axes))

    def _addition(self, node: f.Addition) -> Value:
        (sign, first), *rest = node.terms
        total = self.value(first)
        total = replace(total, body=sign * total.body)
        for sign, addend in rest:
            value = self.value(addend)
            total, value = self.spread(total, value)
            self.same_kind(total, value, "added", addend.at)
            value = self.aligned(total, value)
            total = replace(total, body=total.body + sign * value.body)
        return total

    def spread(self, one: Value, other: Value) -> tuple[Value, Value]:
        """A number for each channel beside a plane for each; a number beside one number for each feature."""
        if self.planes and bool(one.places) != bool(other.places) and (one.channels and other.channels):
            self.reading.choose("bias", ("per place",))
            plane = one if one.places else other
            return tuple(v if v.places else replace(v, row=plane.row, col=plane.col) for v in (one, other))  # type: ignore[return-value]
        elementwise = any(isinstance(n, f.Hadamard) for n in self.everything) and not self.planes
        if (self.featurewise or elementwise) and bool(one.axes) != bool(other.axes):
            if self.featurewise:
                self.feature_by_feature()
            else:
                self.reading.choose("number beside a vector", ("for each component",))
            model = one if one.axes else other
            return tuple(v if v.axes else replace(model, body=v.body) for v in (one, other))  # type: ignore[return-value]
        return one, other

    def _product(self, node: f.Product) -> Value:
        left, right = self.value(node.left), self.value(node.right)
        if left.axes and right.axes:
            if node.operator in (*SLIDES, "otimes") and self.planes:
                return self.slid(left, right, node)
            if node.operator == "otimes" and not self.planes:
                return self.outer(left, right, node.at)
            if node.operator in SLIDES:
                raise Unbindable("`*` between vectors or matrices: a convolution is not bound here", node.at)
            alike = (left.row is None, left.col is None) == (right.row is None, right.col is None)
            vectors = alike and len(left.places) == 1 and not self.planes
            if vectors and self.featurewise:
                self.feature_by_feature()
                return self.elementwise(left, right, node.at)
            if vectors and node.operator in ("cdot", "times"):
                raise Unbindable("a dot between two vectors can mean two products: write `^T` or `\\odot`", node.at)
        return self.multiply(left, right, node.at)

    def multiply(self, left: Value, right: Value, at: int) -> Value:
        if not left.axes or not right.axes:
            scalar, other = (left, right) if not left.axes else (right, left)
            return replace(other, body=scalar.body * other.body)
        if self.planes:
            return self.multiplied_channels(left, right, at)
        self.reading.choose("vectors", VECTORS)
        if right.lead and left.col and not left.row:
            inner = sp.Dummy("i", integer=True)
            self.agree(left.col[1], right.lead[1])
            body = left.at(col=inner) * right.body.xreplace({right.lead[0]: inner})
            return replace(right, body=self.summed(body, (inner, right.lead[1])), lead=None)
        if left.lead or right.lead:
            raise Misshapen(
                "the derivative of a vector by a matrix is multiplied from the left by a row", left.shape, right.shape
            )
        if left.col and right.row:
            inner = sp.Dummy("i", integer=True)
            self.agree(left.col[1], right.row[1])
            body = left.at(col=inner) * right.at(row=inner)
            return Value(self.summed(body, (inner, left.col[1])), left.row, right.col)
        if left.row and not left.col and right.col and not right.row:
            return Value(left.body * right.body, left.row, right.col)
        raise Misshapen("the shapes do not multiply", left.shape, right.shape)

    def multiplied_channels(self, left: Value, right: Value, at: int) -> Value:
        """Numbers of channels: those of a filter are summed over the channels that it shares, others go with their own."""
        if left.places or right.places:
            raise Unbindable("two planes side by side: write `*` or `\\odot`", at)
        right, shared, kept = self.shared_channels(left, right)
        if not kept and len(shared) == len(left.channels):
            return replace(left, body=left.body * right.body)
        if shared:
            self.reading.choose("channels", ("summed over channels",))
        body = left.body * right.body
        for axis in shared:
            fresh = sp.Dummy(axis[0].name, integer=True)
            body = self.summed(body.xreplace({axis[0]: fresh}), (fresh, axis[1]))
        return Value(body, channels=(*(c for c in left.channels if c not in shared), *kept))

    def shared_channels(self, left: Value, right: Value) -> tuple[Value, list[Axis], list[Axis]]:
        """The right operand with the left one's indices for the channels that both have, those, and its others."""
        shared, kept, change = [], [], {}
        for c in right.channels:
            sizes = (self.canonical(c[1]), [d for d in left.channels if d not in shared])
            twin = next((d for d in sizes[1] if self.canonical(d[1]) == sizes[0]), None)
            if twin:
                change[c[0]] = twin[0]
                shared.append(twin)
            else:
                kept.append(c)
        return replace(right, body=right.body.xreplace(change)), shared, kept

    def outer(self, left: Value, right: Value, at: int) -> Value:
        r"""`x \otimes y`, whose component jk is x_j y_k."""
        if any(len(v.axes) != 1 for v in (left, right)):
            raise Unbindable("an outer product of what are not vectors", at)
        return Value(left.body * right.body, left.axes[0], right.axes[0])

    def slid(self, left: Value, right: Value, node: f.Product) -> Value:
        """One plane slid over another: a sum over what they share, of each channel that both have."""
        if len(left.places) != 2 or len(right.places) != 2:
            raise Unbindable("`*` between what are not two planes", node.at)
        turns = self.reading.choose("star", SLIDING) != "cross-correlation"
        self.slid_so_far += 1
        mode = self.reading.choose(f"border of the {self.slid_so_far}th", ("valid", "full", "second valid"))
        right, shared, kept = self.shared_channels(left, right)
        body, over, axes = right.body, [], []
        for mine, theirs in zip(left.places, right.places, strict=True):
            i, u = sp.Dummy(mine[0].name, integer=True), sp.Dummy(theirs[0].name, integer=True)
            X, Y = mine[1], theirs[1]
            if mode == "second valid":  # the first stays inside the second
                at, size = {mine[0]: u, theirs[0]: i + X - 1 - u if turns else i + u}, Y - X + 1
                over.append((u, X))
                bound = within(at[theirs[0]], Y)
            else:
                full = {theirs[0]: u, mine[0]: i - u if turns else i - (Y - 1) + u}
                valid = {theirs[0]: u, mine[0]: i + Y - 1 - u if turns else i + u}
                at, size = (valid, X - Y + 1) if mode == "valid" else (full, X + Y - 1)
                over.append((u, Y))
                bound = within(at[mine[0]], X)
            left, body = replace(left, body=left.body.xreplace(at) * bound), body.xreplace(at)
            axes.append((i, self.canonical(sp.expand(size))))
        total = left.body * body
        for axis in (*reversed(over), *shared):
            fresh = sp.Dummy(axis[0].name, integer=True)
            total = self.summed(total.xreplace({axis[0]: fresh}), (fresh, axis[1]))
        own = [c for c in left.channels if c not in shared]
        return Value(total, axes[0], axes[1], (*kept, *own))

    def turned(self, value: Value, at: int) -> Value:
        """rot180: rows and columns in reverse order."""
        if len(value.places) != 2:
            raise Unbindable("only a plane is turned by 180 degrees", at)
        assert value.row and value.col
        return replace(value, body=value.at(value.row[1] - 1 - value.row[0], value.col[1] - 1 - value.col[0]))

    def _hadamard(self, node: f.Hadamard) -> Value:
        return self.elementwise(self.value(node.left), self.value(node.right), node.at)

    def elementwise(self, left: Value, right: Value, at: int) -> Value:
        if self.featurewise:
            left, right = self.spread(left, right)
        self.same_kind(left, right, "multiplied elementwise", at)
        return replace(left, body=left.body * self.aligned(left, right).body)

    def _quotient(self, node: f.Quotient) -> Value:
        over, under = self.value(node.over), self.value(node.under)
        if under.body.is_zero:
            raise Unbindable("a division by zero", node.under.at)
        if under.axes and self.featurewise:
            return self.elementwise(over, replace(under, body=1 / under.body), node.at)
        if under.axes:
            raise Unbindable("a division by a vector or matrix", node.under.at)
        return replace(over, body=over.body / under.body)

    def _root(self, node: f.Root) -> Value:
        return self.power(self.value(node.radicand), Fraction(1, 2), node.at)

    def _norm(self, node: f.Norm) -> Value:
        raise Unbindable("a norm is read only squared", node.at)

    def _differential(self, node: f.Differential) -> Value:
        r"""Half of a derivative, alone: a small change, and any number for all that the formula says."""
        of = node.of.base if isinstance(node.of, f.Scripted) else node.of
        while isinstance(of, f.Group | f.Scripted):
            of = of.body if isinstance(of, f.Group) else of.base
        if not isinstance(of, f.Name):
            raise Unbindable("half of a derivative", node.at)
        letter = of.text.split()[-1]
        return Value(
            sp.Symbol(rf"\partial {letter if len(letter) == 1 else chr(92) + letter}", real=True, nonzero=True)
        )

    def _summation(self, node: f.Summation) -> Value:
        before = {i.text: self.scope.get(i.text) for i in node.indices}
        if len(before) != len(node.indices):
            raise Unbindable("an index twice under one sum", node.at)
        for i in node.indices:
            self.scope[i.text] = sp.Dummy(i.text, integer=True)
        value = self.value(node.body)
        for i in node.indices:
            k = self.scope.pop(i.text)
            if (outer := before[i.text]) is not None:
                self.scope[i.text] = outer
            value = replace(value, body=self.summed(value.body, (k, self.range_of(k, i, node))))
        return value

    def range_of(self, k: sp.Symbol, i: f.Name, node: f.Summation) -> sp.Expr:
        sizes = self.uses.pop(k, []) or self.size_between(i.text, k, node)
        for size in sizes[1:]:
            self.agree(sizes[0], size)
        if node.low is not None and node.low != f.Number(Fraction(1)):
            raise Unbindable("a sum that does not begin at 1", node.low.at)
        if node.high is not None:
            if not isinstance(node.high, f.Name):
                raise Unbindable("where the sum ends is not understood", node.high.at)
            if not self.is_extent(sizes[0], node.high.text):
                raise Unbindable(f"{node.high.text} is not the number of samples", node.high.at)
            self.agree(self.extents.setdefault(node.high.text, sizes[0]), sizes[0])
        return sizes[0]

    def summed(self, body: sp.Expr, axis: Axis) -> sp.Expr:
        return sp.Sum(body, (axis[0], 0, axis[1] - 1))

    def _matrix(self, node: f.Matrix) -> Value:
        entries = [[self.value(entry) for entry in row] for row in node.rows]
        if any(entry.places for row in entries for entry in row):
            raise Unbindable("a matrix of vectors", node.at)
        i, k = sp.Dummy("i", integer=True), sp.Dummy("k", integer=True)
        tall, wide = len(entries), len(entries[0])
        model, body = entries[0][0], sp.Integer(0)
        for r, row in enumerate(entries):
            for c, entry in enumerate(row):
                self.same_kind(model, entry, "in one matrix", node.at)
                at = (sp.KroneckerDelta(i, r) if tall > 1 else 1) * (sp.KroneckerDelta(k, c) if wide > 1 else 1)
                body += self.aligned(model, entry).body * at
        down = (i, sp.Integer(tall)) if tall > 1 or self.planes else None
        across = (k, sp.Integer(wide)) if wide > 1 or self.planes else None
        return Value(body, down, across, model.channels)

    def _application(self, node: f.Application) -> Value:
        function = node.function if isinstance(node.function, f.Scripted) else f.Scripted(node.function, at=node.at)
        if function.sub or function.sup:
            raise Unbindable("scripts on a function that are not understood", node.at)
        if function.base == f.Name("rot180"):
            return self.turned(self.value(node.argument), node.at)
        return self.applied(function, node.argument, node)

    # -- indices --------------------------------------------------------------------------------------------------

    def index_items(self, items: tuple[f.Node, ...]) -> Iterator[f.Node]:
        """`_{jk}` and `_{j,k}` alike."""
        for item in items:
            if isinstance(item, f.Product) and not item.operator:
                yield from self.index_items((item.left, item.right))
            else:
                yield item

    def index(self, node: f.Node, size: sp.Expr) -> sp.Expr:
        if isinstance(node, f.Name) and node.text not in ("T", "L", "l", "ell"):
            symbol = self.letter(node.text)
            self.use(symbol, size)
            return symbol
        if isinstance(node, f.Number) and node.value.denominator == 1 and node.value >= 1:
            return sp.Integer(int(node.value) - 1)
        if isinstance(node, f.Addition):
            letters = [n for n in nodes(node) if isinstance(n, f.Name)]
            if any(n.text in self.scope for n in letters):
                raise Unbindable("a summed index is shifted: where its sum ends is not said", node.at)
            total: sp.Expr = sp.Integer(0)
            for sign, addend in node.terms:
                if isinstance(addend, f.Number) and addend.value.denominator == 1:
                    total += sign * int(addend.value)
                else:
                    total += sign * self.index(addend, size)
            return total
        raise Unbindable("an index must be a letter, a number, or a letter plus or minus a number", node.at)

    def letter(self, text: str) -> sp.Symbol:
        return self.scope.get(text, sp.Symbol(text, integer=True))

    def use(self, index: sp.Symbol, size: sp.Expr) -> None:
        self.uses.setdefault(index, []).append(size)

    def free_letters(self) -> dict[sp.Symbol, sp.Expr]:
        free = {}
        for index, sizes in self.uses.items():
            free[index] = sizes[0]
            for size in sizes[1:]:
                self.agree(sizes[0], size)
        return free

    # -- shapes ---------------------------------------------------------------------------------------------------

    def agree(self, one: sp.Expr, other: sp.Expr) -> None:
        one, other = self.canonical(one), self.canonical(other)
        if one != other and (one, other) not in self.mismatches:
            self.mismatches.append((one, other))

    def same_kind(self, left: Value, right: Value, how: str, at: int) -> None:
        if bool(left.axes) != bool(right.axes) and self.mismatches:
            raise Misshapen(f"a number and a vector or matrix cannot be {how}", left.shape, right.shape)
        if bool(left.axes) != bool(right.axes):
            raise Unbindable(f"a number and a vector or matrix {how}", at)
        if (left.row is None, left.col is None) != (right.row is None, right.col is None):
            self.reading.choose("vectors", VECTORS)
            raise Misshapen(f"these shapes cannot be {how}", left.shape, right.shape)
        if len(left.channels) != len(right.channels) or bool(left.lead) != bool(right.lead):
            raise Misshapen(f"these cannot be {how}: they differ in their channels", left.shape, right.shape)

    def aligned(self, model: Value, value: Value) -> Value:
        """The value with the model's axes; their sizes must agree."""
        change = {}
        for mine, theirs in zip((model.row, model.col, model.lead), (value.row, value.col, value.lead), strict=True):
            if mine and theirs:
                self.agree(mine[1], theirs[1])
                change[theirs[0]] = mine[0]
        left = list(value.channels)
        for mine in model.channels:
            theirs = next((c for c in left if self.canonical(c[1]) == self.canonical(mine[1])), left[0])
            left.remove(theirs)
            self.agree(mine[1], theirs[1])
            change[theirs[0]] = mine[0]
        return replace(model, body=value.body.xreplace(change))

    def refuse(self, what: str, node: f.Node) -> NoReturn:
        raise Unbindable(what, node.at)


def constant(node: f.Node) -> Fraction | None:
    """The number that a node without letters is, if it is one."""
    if isinstance(node, f.Number):
        return node.value
    if isinstance(node, f.Group):
        return constant(node.body)
    if isinstance(node, f.Quotient):
        over, under = constant(node.over), constant(node.under)
        return over / under if over is not None and under else None
    if isinstance(node, f.Addition):
        parts = [(sign, constant(part)) for sign, part in node.terms]
        return (
            sum((sign * part for sign, part in parts if part is not None), Fraction(0))
            if all(p is not None for _, p in parts)
            else None
        )
    return None
