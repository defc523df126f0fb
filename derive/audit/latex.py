"""What the derivation gives instead of a refuted formula, as LaTeX in the documents' own notation."""

from collections.abc import Iterable

import sympy as sp
from sympy.printing.latex import LatexPrinter

from derive.audit.binding import Bound
from derive.audit.network import Network, last, layer, rewrite, sigma, slope

LETTERS = "jkip"
PLAIN_SAMPLE = "sample"  # the one sample that a formula without samples speaks of


class FieldPrinter(LatexPrinter):
    r"""`w_{jk}^{l}`, `\delta_j^{x,l}`, `\sum_k`, as the field writes them; `names` are the letters of the indices."""

    def __init__(self, names: dict[sp.Symbol, str]) -> None:
        super().__init__({"order": "none"})
        self.names = names

    def _print_Symbol(self, e: sp.Symbol, style: str = "plain") -> str:
        return self.names.get(e) or super()._print_Symbol(e)

    _print_Dummy = _print_Symbol

    def _print_Indexed(self, e: sp.Indexed) -> str:
        name, at = e.base.name, list(e.indices)
        if name.startswith("any "):
            return f"{name[4:]}_{{{self._at(at)}}}"
        if name == "E":
            return "E"
        if name == "C":
            return self._cost(at[0])
        if name == "y":
            return f"y_{{{self._at(at[1:])}}}" + self._above([], at[0])
        if name == "delta_a":
            of = self._cost(at[1])
            return rf"\frac{{\partial {of}}}{{\partial a_{{{self._at(at[2:])}}}{self._above(at[:1], at[1])}}}"
        if name in ("a", "z", "delta_z"):
            letter = r"\delta" if name == "delta_z" else name
            return f"{letter}_{{{self._at(at[2:])}}}{self._above(at[:1], at[1])}"
        if name[:2] in ("C:", "E:"):
            of = "E" if name[0] == "E" else self._cost(at[1])
            components = at[2:] if name[0] == "C" else at[1:]
            return rf"\frac{{\partial {of}}}{{\partial {name[2:]}_{{{self._at(components)}}}^{{{self._layer(at[0])}}}}}"
        label = r",\text{new}" if name.endswith("_new") else ""
        return f"{name.removesuffix('_new')}_{{{self._at(at[1:])}}}^{{{self._layer(at[0])}{label}}}"

    def _cost(self, sample: sp.Expr) -> str:
        return "C" if getattr(sample, "name", "") == PLAIN_SAMPLE else f"C_{{{self._print(sample)}}}"

    def _layer(self, e: sp.Expr) -> str:
        shift = sp.expand(e - sum(s for s in e.free_symbols))
        letter = "".join(s.name for s in e.free_symbols)
        return f"{letter}{int(shift):+d}" if shift and letter else letter or str(e)

    def _at(self, indices: Iterable[sp.Expr]) -> str:
        return " ".join(str(int(i) + 1) if i.is_Integer else self._print(i) for i in indices)

    def _above(self, at: list[sp.Expr], sample: sp.Expr) -> str:
        shown = [self._layer(i) for i in at]
        if getattr(sample, "name", "") != PLAIN_SAMPLE:
            shown.insert(0, self._at([sample]))
        return f"^{{{','.join(shown)}}}" if shown else ""

    def _print_Sum(self, e: sp.Sum) -> str:
        under = "".join(rf"\sum_{{{self._print(k)}}} " for k, *_ in e.limits)
        body = self._print(e.function)
        return under + (rf"\left({body}\right)" if isinstance(e.function, sp.Add) else body)

    def _print_sigma(self, e: sp.Expr, exp: str | None = None) -> str:
        return rf"\sigma\left({self._print(e.args[0])}\right)" + (f"^{{{exp}}}" if exp else "")

    def _print_slope(self, e: sp.Expr, exp: str | None = None) -> str:
        return rf"\sigma'\left({self._print(e.args[0])}\right)" + (f"^{{{exp}}}" if exp else "")

    def _print_units(self, e: sp.Expr, exp: str | None = None) -> str:
        return f"n_{{{self._layer(e.args[0])}}}"


def correction(bound: Bound, network: Network) -> str | None:
    """What the left side (or the right, if only that is a single quantity) is by the derivation, in components."""
    for side, other in ((bound.left, bound.right), (bound.right, bound.left)):
        quantities = [x for x in side.atoms(sp.Indexed) if side in (x, -x) or is_multiple(side, x)]
        if len(quantities) == 1 and network.definition(quantities[0]):
            value = opened(quantities[0], other, network)
            factor = sp.cancel(side / quantities[0])
            return equation(side, without_deltas(sp.expand_mul(factor * value) if factor != 1 else value), bound)
    if {x.base.name for x in bound.right.atoms(sp.Indexed)} & {"w", "b"}:  # an expression in z: what z is
        value = rewrite(bound.left, network, lambda y: y.base.name == "z")
        if value != bound.left:
            return equation(bound.left, value, bound)
    return written_out(bound)


def written_out(bound: Bound) -> str | None:
    """The left side in components, where there is nothing to derive: an elementwise product, a column of numbers."""
    if bound.left.has(layer, last):
        return None
    sizes = list(bound.free.values())
    if not all(size.is_Integer for size in sizes):
        return FieldPrinter({i: i.name for i in bound.free}).doprint(bound.left)
    tall, wide = [*(int(size) for size in sizes), 1, 1][:2]
    entries = [
        [bound.left.xreplace(dict(zip(bound.free, map(sp.Integer, (r, c)), strict=False))) for c in range(wide)]
        for r in range(tall)
    ]
    return sp.latex(sp.Matrix(entries), mat_str="bmatrix", mat_delim="") if bound.free else sp.latex(bound.left)


def is_multiple(side: sp.Expr, x: sp.Indexed) -> bool:
    return isinstance(side, sp.Mul) and not sp.cancel(side / x).has(sp.Indexed, sigma, slope, sp.Sum)


def opened(x: sp.Indexed, other: sp.Expr, network: Network) -> sp.Expr:
    """One step of the derivation, and as many more as lead to the quantities of a recursion."""
    names = {i.base.name for i in other.atoms(sp.Indexed)}
    further = {
        "delta_z": lambda y: y.base.name == "delta_a" and not (y.indices[0] == last and not network.at_last),
        "a": lambda y: y.base.name == "z" and bool(names & {"w", "b"}),
        "w_new": lambda y: y.base.name == "E:w",
        "b_new": lambda y: y.base.name == "E:b",
    }.get(x.base.name, lambda y: False)
    return rewrite(network.open(x), network, further)


def without_deltas(e: sp.Expr) -> sp.Expr:
    """Sums that a Kronecker delta reduces to one term, reduced."""

    def reduced(s: sp.Sum) -> sp.Expr:
        (k, *_), *others = s.limits
        for delta in s.function.atoms(sp.KroneckerDelta):
            if delta.has(k) and not others and delta in sp.Mul.make_args(s.function):
                (i,) = (a for a in delta.args if a != k)
                return (s.function / delta).xreplace({k: i})
        return s

    return e.replace(lambda s: isinstance(s, sp.Sum), reduced)


def equation(left: sp.Expr, right: sp.Expr, bound: Bound) -> str:
    names: dict[sp.Symbol, str] = {}
    for index in bound.free:
        if not isinstance(index, sp.Dummy):
            names[index] = index.name.removesuffix(" of the weight")
    summed = [k for s in sp.Tuple(right).atoms(sp.Sum) for k, *_ in s.limits]
    for index in (*bound.free, *dict.fromkeys(sorted(summed, key=lambda k: (k.name, str(k))))):
        if index not in names:
            choices = (index.name, *LETTERS, *"quvrst") if index.name != "n" else ("x", "n", *LETTERS)
            names[index] = next(letter for letter in choices if letter not in names.values())
    shown = FieldPrinter(names)
    return f"{shown.doprint(left)} = {shown.doprint(right)}"
