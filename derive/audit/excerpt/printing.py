"""Expressions as C and as LaTeX, with the names that the excerpt itself has."""

from typing import Any

import sympy as sp
from sympy.printing.str import StrPrinter

from derive.audit.excerpt.facts import Fact
from derive.audit.excerpt.vocabulary import INDEX, STRIDE, multiple_at
from derive.calculus.text import LatexEquations, TextPrinter

IN_C = {
    frozenset({1}): ">", frozenset({-1}): "<", frozenset({0}): "==",
    frozenset({0, 1}): ">=", frozenset({-1, 0}): "<=", frozenset({-1, 1}): "!=",
}  # fmt: skip
RELATIONS = {
    frozenset({1}): ">", frozenset({-1}): "<", frozenset({0}): "=",
    frozenset({0, 1}): r"\ge", frozenset({-1, 0}): r"\le", frozenset({-1, 1}): r"\ne",
}  # fmt: skip


class CPrinter(TextPrinter):
    """C, as it would be written in the place of a statement of the excerpt."""

    printmethod = "_as_c"  # no class prints itself

    def __init__(self, spelled: dict[Any, str]) -> None:
        super().__init__()
        self.spelled = spelled

    def _print_Add(self, e: sp.Add, order: object = None) -> str:
        return StrPrinter._print_Add(self, e) if e.is_integer else super()._print_Add(e)  # of addresses, a number last

    def _print_Symbol(self, e: sp.Symbol) -> str:
        return self.spelled.get(e, e.name)

    _print_Dummy = _print_Symbol

    def _print_Indexed(self, e: sp.Indexed) -> str:
        address, m = e.indices[0], multiple_at(e.indices[0])
        place = f"{self.doprint(INDEX)} + {self.parenthesize(m, 50)}*{self.doprint(STRIDE)}" if m is not None else ""
        return f"{self.spelled.get(e.base, e.base.name)}[{place or self.doprint(address)}]"

    def _print_Pow(self, e: sp.Pow, rational: bool = False) -> str:
        if e.exp.is_Integer and e.exp > 1:
            return f"pow({self.doprint(e.base)}, {e.exp})"
        return super()._print_Pow(e, rational)

    def _print_Rational(self, e: sp.Rational) -> str:
        return f"{e.p}.0/{e.q}"

    def _print_Exp1(self, e: sp.Expr) -> str:
        return "exp(1)"

    def fact(self, f: Fact) -> str:
        more, less = sides(f)
        return f"{self.doprint(more)} {IN_C[f.signs]} {self.doprint(less)}"


class LatexPrinter(LatexEquations):
    """LaTeX, with words upright."""

    def __init__(self, spelled: dict[Any, str]) -> None:
        super().__init__()
        self.spelled = spelled

    def _print_Symbol(self, e: sp.Basic, style: str = "plain") -> str:
        name = self.spelled.get(e, e.name).replace("_", r"\_")
        return name if len(name) == 1 else rf"\mathrm{{{name}}}"

    _print_Dummy = _print_Symbol

    def _print_Indexed(self, e: sp.Indexed) -> str:
        return f"{self._print_Symbol(e.base)}_{{{self.doprint(e.indices[0])}}}"

    def fact(self, f: Fact) -> str:
        more, less = sides(f)
        return f"{self.doprint(more)} {RELATIONS[f.signs]} {self.doprint(less)}"


def sides(f: Fact) -> tuple[sp.Expr, sp.Expr]:
    """What a fact compares: what is added, and what is subtracted."""
    more = sp.Add(*(a for a in sp.Add.make_args(f.e) if not a.could_extract_minus_sign()))
    return more, more - f.e
