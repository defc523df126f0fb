"""What the derivation gives instead of a refuted formula, and how a true one is proved, in the documents' own notation."""

from collections.abc import Iterable, Mapping

import sympy as sp
from sympy.printing.latex import LatexPrinter

from derive.audit.judging.equality import tidied
from derive.audit.judging.proof import Proof
from derive.audit.meaning.network import (
    Definition,
    Definitions,
    Network,
    last,
    layer,
    rewrite,
    samples,
    sigma,
    slope,
    stem,
)
from derive.audit.meaning.values import Bound, nonnegative, size_name

LETTERS = "jkip"
PLAIN_SAMPLE = "sample"  # the one sample that a formula without samples speaks of
SYMBOLS = {"z_hat": r"\hat{z}", "mu": r"\mu", "var": r"(\sigma_B^2)", "gamma": r"\gamma", "beta": r"\beta"}
OF_BATCH = {"mu": r"\mu_B", "var": r"(\sigma_B^2)"}  # where no feature is named


class FieldPrinter(LatexPrinter):
    r"""`w_{jk}^{l}`, `\delta_j^{x,l}`, `\sum_k`, as the field writes them.

    `names` are the letters of the indices; `written` is how a document writes other symbols and components.
    """

    def __init__(
        self, names: Mapping[sp.Symbol, str], network: Definitions, written: Mapping[sp.Basic, str] | None = None
    ) -> None:
        super().__init__({"order": "none"})
        self.names, self.network, self.written = dict(names), network, dict(written or {})
        self.turned = False  # whether the weights' indices come in the other order
        self.hidden: sp.Symbol | None = None  # the one feature or channel that all is of

    def _print_Symbol(self, e: sp.Symbol, style: str = "plain") -> str:
        shown = self.names.get(e) or self.written.get(e)
        return shown or (e.name if e.name.startswith("\\") else super()._print_Symbol(e))

    _print_Dummy = _print_Symbol

    def _print_Indexed(self, e: sp.Indexed) -> str:
        name, at = e.base.name, list(e.indices)
        if e in self.written:
            return self.written[e]
        if name.startswith("any "):
            return f"{name[4:]}_{{{self._at(at)}}}"
        if name == "E":
            return "E"
        if name == "C":
            return self._cost(at[0])
        if not isinstance(self.network, Network):
            return name
        if name == "y" and "y" not in self.network.features:
            return f"y_{{{self._at(at[1:])}}}" + self._above([], at[0])
        if "_at_" in name:
            return rf"{name[-1]}^\star_{{{self._at(at[2:])}}}^{{{self._layer(at[0])}}}"
        label = r",\text{new}" if name.endswith("_new") else ""
        count = len(self.network.features[stem(name)])
        others, inside = at[1 : len(at) - count], at[len(at) - count :]
        of = "E" if name.startswith("E:") else "C"
        quantity = self._quantity(stem(name), at[0], others if name[:2] != "C:" else [], inside, label)
        if name == "delta_z" or not (name.startswith("delta_") or ":" in name):
            letter = r"\delta" if name == "delta_z" else None
            return self._quantity(stem(name), at[0], others, inside, label, letter)
        if others and not self.network.kind.coupled:
            of = self._cost(others[0])
        return rf"\frac{{\partial {of}}}{{\partial {quantity}}}"

    def _quantity(
        self,
        name: str,
        at: sp.Expr,
        others: list[sp.Expr],
        inside: list[sp.Expr],
        label: str = "",
        letter: str | None = None,
    ) -> str:
        letter = letter or SYMBOLS.get(name, name)
        if self.turned and name == "w":
            inside = inside[::-1]
        inside = [i for i in inside if i != self.hidden]
        if isinstance(self.network, Network) and self.network.kind.coupled:
            below = self._at([*others, *inside], comma=True)
            letter = letter if inside else OF_BATCH.get(name, letter)
            return (f"{letter}_{{{below}}}" if below else letter) + f"^{{{self._layer(at)}{label}}}"
        above = [*map(self._sample, others), self._layer(at) + label]
        comma = isinstance(self.network, Network) and self.network.kind.planes
        below = self._at(inside, comma)
        return (f"{letter}_{{{below}}}" if below else letter) + f"^{{{','.join(x for x in above if x)}}}"

    def _sample(self, sample: sp.Expr) -> str:
        return "" if getattr(sample, "name", "") == PLAIN_SAMPLE else self._at([sample])

    def _cost(self, sample: sp.Expr) -> str:
        return f"C_{{{self._print(sample)}}}" if self._sample(sample) and sample != 0 else "C"

    def _layer(self, e: sp.Expr) -> str:
        shift = sp.expand(e - sum(s for s in e.free_symbols))
        letter = "".join(s.name for s in e.free_symbols)
        return f"{letter}{int(shift):+d}" if shift and letter else letter or str(e)

    def _at(self, indices: Iterable[sp.Expr], comma: bool = False) -> str:
        """Indices as documents count them, from one."""
        shown = []
        for i in indices:
            if getattr(i, "name", "") == PLAIN_SAMPLE:
                shown.append("x")
                continue
            letters = {s: s - 1 for s in i.free_symbols if s.is_Symbol and (s in self.names or not s.is_positive)}
            shown.append(self._print(sp.expand(i.xreplace(letters) + 1)))
        return (", " if comma else " ").join(shown)

    def _above(self, at: list[sp.Expr], sample: sp.Expr) -> str:
        shown = [self._layer(i) for i in at]
        if self._sample(sample):
            shown.insert(0, self._at([sample]))
        return f"^{{{','.join(shown)}}}" if shown else ""

    def _named(self, k: sp.Symbol) -> str:
        """A letter for an index that no index around it has."""
        coupled = isinstance(self.network, Network) and self.network.kind.coupled
        sample = ("i", "n") if coupled else ("x", "n")
        choices = (*(sample if k.name == "n" else k.name), *LETTERS, *"quvrstxyfgh")
        taken = self.names.values()
        self.names[k] = next((x for x in choices if x not in taken), f"{k.name}_{{{len(self.names)}}}")
        return self.names[k]

    def _print_Sum(self, e: sp.Sum) -> str:
        letters = [k for k, *_ in e.limits]
        under = "".join(rf"\sum_{{{self._named(k)}}} " for k in letters)
        body = self._print(e.function)
        for k in letters:
            del self.names[k]
        return under + (rf"\left({body}\right)" if isinstance(e.function, sp.Add) else body)

    def _print_Maximum(self, e: sp.Expr) -> str:
        letters = [k for k, *_ in e.limits]
        under = ", ".join(map(self._named, letters))
        body = e.function.args[0][0] if isinstance(e.function, sp.Piecewise) else e.function
        shown = rf"\max_{{{under}}} {self._print(body)}"
        for k in letters:
            del self.names[k]
        return shown

    def _print_sigma(self, e: sp.Expr, exp: str | None = None) -> str:
        return rf"\sigma\left({self._print(e.args[0])}\right)" + (f"^{{{exp}}}" if exp else "")

    def _print_slope(self, e: sp.Expr, exp: str | None = None) -> str:
        return rf"\sigma'\left({self._print(e.args[0])}\right)" + (f"^{{{exp}}}" if exp else "")

    def _print_KroneckerDelta(self, e: sp.Expr, exp: str | None = None) -> str:
        return rf"[{' = '.join(self._print(i) if isinstance(i, sp.Indexed) else self._at([i]) for i in e.args)}]"

    def _print_nonnegative(self, e: sp.Expr, exp: str | None = None) -> str:
        return rf"[{self._print(e.args[0])} \geq 0]"

    def _size(self, e: sp.Expr, exp: str | None = None) -> str:
        return size_name(e) + (f"^{{{exp}}}" if exp else "")

    _print_units = _print_channels = _print_rows = _print_columns = _print_height = _print_breadth = _size


def correction(bound: Bound, network: Definitions) -> str | None:
    """What the left side (or the right, if only that is a single quantity) is by the derivation, in components."""
    for side, other in ((bound.left, bound.right), (bound.right, bound.left)):
        quantities = [x for x in side.atoms(sp.Indexed) if side in (x, -x) or is_multiple(side, x)]
        if len(quantities) == 1 and network.definition(quantities[0]):
            value = opened(quantities[0], other, network)
            factor = sp.cancel(side / quantities[0])
            value = without_deltas(sp.expand_mul(factor * value) if factor != 1 else value)
            return equation(side, value, bound, network)
    names = {x.base.name for x in bound.right.atoms(sp.Indexed)}
    if network.name == "dense" and names & {"w", "b"}:  # an expression in z: what z is
        value = rewrite(bound.left, network, lambda y: y.base.name == "z" and network.definition(y) is not None)
        if value != bound.left:
            return equation(bound.left, value, bound, network)
    return written_out(bound, network)


def written_out(bound: Bound, network: Definitions) -> str | None:
    """The left side in components, where there is nothing to derive: an elementwise product, a column of numbers."""
    if bound.left.has(layer, last) or not isinstance(network, Network):
        return None
    sizes = list(bound.free.values())
    if not all(size.is_Integer for size in sizes):
        return FieldPrinter({i: i.name for i in bound.free}, network).doprint(bound.left)
    tall, wide = [*(int(size) for size in sizes), 1, 1][:2]
    entries = [
        [bound.left.xreplace(dict(zip(bound.free, map(sp.Integer, (r, c)), strict=False))) for c in range(wide)]
        for r in range(tall)
    ]
    return sp.latex(sp.Matrix(entries), mat_str="bmatrix", mat_delim="") if bound.free else sp.latex(bound.left)


def is_multiple(side: sp.Expr, x: sp.Indexed) -> bool:
    return isinstance(side, sp.Mul) and not sp.cancel(side / x).has(sp.Indexed, sigma, slope, sp.Sum)


def opened(x: sp.Indexed, other: sp.Expr, network: Definitions) -> sp.Expr:
    """One step of the derivation, and as many more as lead to the quantities of a recursion."""
    if not isinstance(network, Network):
        value = rewrite(network.open(x), network, lambda y: y.base.name.startswith("delta_"))
        return sp.factor(sp.cancel(value)) if not value.has(sp.log, sp.exp) else value
    names = {i.base.name for i in other.atoms(sp.Indexed)}
    further = {
        "delta_z": lambda y: y.base.name == "delta_a" and not (y.indices[0] == last and not network.at_last),
        "a": lambda y: y.base.name == "z" and bool(names & {"w", "b"}),
        "w_new": lambda y: y.base.name == "E:w",
        "b_new": lambda y: y.base.name == "E:b",
    }.get(x.base.name, lambda y: False)
    if network.kind.coupled:
        return network.open(x)
    return rewrite(network.open(x), network, further)


def derivation(bound: Bound, network: Definitions, shown: Proof) -> tuple[tuple[str, str], ...]:
    """How a relation was proved, step by step: in components, by which equations, to which equal sides."""
    left, right = shown.sides
    found = [("In components", equation(bound.left, bound.right, bound, network))]
    done: set[tuple[str, sp.Expr]] = set()
    for x in sorted(shown.opened, key=str, reverse=True):
        definition = network.definition(x)
        if definition is None or (x.base.name, x.indices[0]) in done:
            continue
        done.add((x.base.name, x.indices[0]))
        whole = in_general(x, definition, bound, network)
        source = "defines" if x.base.name in (*network.order, "C", "E") else "gives"
        found.append((f"`{definition.system}` {source}", equation(whole.left, whole.right, whole, network)))
    if (left, right) != (bound.left, bound.right):
        found.append(("Put in", equation(left, right, bound, network)))
    printer = printer_for(left, right, bound, network)
    if left.has(sp.Sum):
        normal = tidied(left, bound.free, network.sizes, straight=True)
    else:
        normal = left if left.has(sp.exp, sp.log) else sp.cancel(left)
    return (*found, ("Normal form of both sides", printer.doprint(normal)))


def in_general(x: sp.Indexed, definition: Definition, bound: Bound, network: Definitions) -> Bound:
    """What defines a component, at all of its indices."""
    if not isinstance(network, Network) or definition.at[:1] != (layer,):
        return Bound(x, network.open(x), {}, written=bound.written)
    place = x.base[(x.indices[0], *definition.at[1:])]
    extents = network.extents(x.base.name, x.indices[0])
    sizes = [*[samples] * (len(place.indices) - 1 - len(extents)), *extents]
    free = dict(zip(place.indices[1:], sizes, strict=True))
    return Bound(place, network.open(place), free, turned=bound.turned)


def without_deltas(e: sp.Expr) -> sp.Expr:
    """Sums that a Kronecker delta reduces to one term, reduced."""

    def reduced(s: sp.Sum) -> sp.Expr:
        for k, *_ in s.limits:
            for delta in sp.Mul.make_args(s.function):
                if isinstance(delta, sp.KroneckerDelta) and k in delta.args:
                    (i,) = (a for a in delta.args if a != k)
                    left = [limit for limit in s.limits if limit[0] != k]
                    body = (s.function / delta).xreplace({k: i})
                    return reduced(sp.Sum(body, *left)) if left else body
        return s

    return e.replace(lambda s: isinstance(s, sp.Sum), reduced)


def equation(left: sp.Expr, right: sp.Expr, bound: Bound, network: Definitions) -> str:
    if any(e.has(nonnegative, sp.KroneckerDelta) for e in (left, right)):
        left, right = (tidied(e, bound.free, network.sizes) for e in (left, right))
    printer = printer_for(left, right, bound, network)
    return f"{printer.doprint(left)} = {printer.doprint(right)}"


def printer_for(left: sp.Expr, right: sp.Expr, bound: Bound, network: Definitions) -> FieldPrinter:
    """A printer that knows the letters of the free indices."""
    names = {i: i.name.removesuffix(" of the weight") for i in bound.free if not isinstance(i, sp.Dummy)}
    printer = FieldPrinter(names, network, bound.written)
    printer.turned = bound.turned
    printer.hidden = only_feature(left, right, bound, network)
    for index in bound.free:
        if index not in printer.names and index != printer.hidden:
            printer._named(index)
    return printer


def only_feature(left: sp.Expr, right: sp.Expr, bound: Bound, network: Definitions) -> sp.Symbol | None:
    """The one feature (of planes: the one channel) that all of an equation is of, where documents do not write it."""
    if not isinstance(network, Network) or not (network.kind.coupled or network.kind.planes):
        return None
    found = set()
    for x in sp.Tuple(left, right).atoms(sp.Indexed):
        if "_at_" in x.base.name:
            return None
        sizes = network.features.get(stem(x.base.name), ())
        inside = x.indices[len(x.indices) - len(sizes) :]
        of_planes = network.kind.planes and len(sizes) > 1
        found |= set(inside[:-2] if of_planes else inside)
    (only,) = found if len(found) == 1 else (None,)
    return only if isinstance(only, sp.Dummy) and only in bound.free else None
