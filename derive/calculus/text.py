"""Equations as people read them: plain text for docstrings and terminals, LaTeX for pages."""

import sympy as sp
from sympy.printing.latex import LatexPrinter, translate
from sympy.printing.str import StrPrinter

from derive.calculus.equation import Equation, Maximum, size_of, tensors_of

GREEK = {"delta": r"\delta", "nabla": r"\nabla", "gamma": r"\gamma", "beta": r"\beta", "mu": r"\mu", "sigma": r"\sigma"}


def _is_whole(k: sp.Symbol, low: sp.Expr, high: sp.Expr) -> bool:
    """Whether a summed index runs over its whole size, which then need not be said."""
    return low == 0 and sp.expand(high + 1) == size_of(k)


def _sides(e: sp.KroneckerDelta) -> tuple[sp.Expr, sp.Expr]:
    """The two that must be equal, an index before a number."""
    left, right = e.args
    return (right, left) if left.is_number else (left, right)


class TextPrinter(StrPrinter):
    """Sums as ``sum_k``, what is added before what is subtracted."""

    def parenthesize(self, item: sp.Expr, level: int, strict: bool = False) -> str:
        """As SymPy does, and a division of whole numbers wherever a product would stand beside it."""
        divided = isinstance(item, sp.floor | sp.Mod) and not tensors_of(item)
        return f"({self._print(item)})" if divided and level >= 50 else super().parenthesize(item, level, strict)

    def _print_Add(self, e: sp.Add, order: object = None) -> str:
        text = ""
        for a in sorted(e.args, key=lambda a: (a.could_extract_minus_sign(), a.has(sp.Sum))):
            negative = a.could_extract_minus_sign()
            part = self.parenthesize(-a if negative else a, 40)
            text += f" - {part}" if negative and text else f"-{part}" if negative else f" + {part}" if text else part
        return text

    def _print_Sum(self, e: sp.Sum) -> str:
        body = self.parenthesize(e.function, 40)
        ranges = []
        for k, low, high in e.limits:
            bounds = f"({self._print(low)} <= {k} <= {self._print(high)})"
            ranges.append(f"sum_{k if _is_whole(k, low, high) else bounds}")
        return f"{' '.join(ranges)} {body}"

    def _print_Maximum(self, e: Maximum) -> str:
        return f"max_{', '.join(str(k) for k, *_ in e.limits)} {self.parenthesize(e.function, 40)}"

    def _print_Mul(self, e: sp.Mul) -> str:
        sums = [f for f in e.args if isinstance(f, sp.Sum)]
        if len(sums) == 1:
            rest = e / sums[0]
            return f"{self.parenthesize(rest, 50)} {self._print(sums[0])}" if rest != -1 else f"-{self._print(sums[0])}"
        return super()._print_Mul(e)

    def _print_Piecewise(self, e: sp.Piecewise) -> str:
        branches = [f"{self._print(v)} if {self._print(c)}" for v, c in e.args[:-1]]
        last, condition = e.args[-1]
        tail = self._print(last) + (" otherwise" if condition == True else f" if {self._print(condition)}")  # noqa: E712
        return "{" + "; ".join([*branches, tail]) + "}"

    def _print_weighed(self, e: sp.Expr) -> str:
        weight, value = e.args
        return f"{self.parenthesize(weight, 50)}*{self.parenthesize(value, 51)}"

    def _print_Float(self, e: sp.Float) -> str:
        return repr(float(e))

    def _print_KroneckerDelta(self, e: sp.KroneckerDelta) -> str:
        left, right = _sides(e)
        return f"[{self._print(left)} = {self._print(right)}]"

    def _print_Mod(self, e: sp.Mod) -> str:
        return f"{self.parenthesize(e.args[0], 50)} mod {self.parenthesize(e.args[1], 50)}"

    def _print_floor(self, e: sp.floor) -> str:
        if tensors_of(e):
            return f"floor({self._print(e.args[0])})"
        top, bottom = sp.fraction(sp.together(e.args[0]))
        return f"{self.parenthesize(top, 50)}//{self.parenthesize(bottom, 51)}"

    def _print_Equality(self, e: sp.Eq) -> str:
        return f"{self._print(e.lhs)} = {self._print(e.rhs)}"

    def _print_Abs(self, e: sp.Abs) -> str:
        return f"|{self._print(e.args[0])}|"


class LatexEquations(LatexPrinter):
    """Tensors with their indices as subscripts; ``delta_a`` as the sensitivity of a, ``nabla_w`` as a gradient.

    Words are upright; ``[x = y]`` is 1 where it holds and 0 elsewhere.
    """

    def _print_Symbol(self, e: sp.Symbol, style: str = "plain") -> str:
        word = len(e.name) > 1 and e.name.replace("_", "").isalpha() and translate(e.name) == e.name
        return rf"\,\mathrm{{{e.name}}}\,".replace("_", r"\_") if word else super()._print_Symbol(e, style)

    def _print_KroneckerDelta(self, e: sp.KroneckerDelta, exp: object = None) -> str:
        left, right = _sides(e)
        return rf"\left[{self._print(left)} = {self._print(right)}\right]"

    def _print_Indexed(self, e: sp.Indexed) -> str:
        indices = ", ".join(self._print(i) for i in e.indices)
        return f"{self._tensor(e.base.name)}_{{{indices}}}"

    def _tensor(self, name: str) -> str:
        if name.startswith("delta_"):
            return rf"\delta^{{{self._tensor(name[6:])}}}"
        if name.startswith("nabla_"):
            return rf"\nabla^{{{self._tensor(name[6:])}}}"
        stem, _, rest = name.partition("_")
        if rest == "hat":
            return rf"\hat{{{GREEK.get(stem, stem)}}}"
        stem = GREEK.get(stem, stem if len(stem) == 1 else rf"\mathrm{{{stem}}}")
        return rf"{stem}^{{\mathrm{{{rest}}}}}".replace("_", r"\_") if rest else stem

    def _print_Maximum(self, e: Maximum) -> str:
        return rf"\max_{{{', '.join(str(k) for k, *_ in e.limits)}}} {self.parenthesize(e.function, 50)}"

    def _print_Sum(self, e: sp.Sum) -> str:
        ranges = ""
        for k, low, high in e.limits:
            index, bounds = self._print(k), f" = {self._print(low)}}}^{{{self._print(high)}"
            ranges += rf"\sum_{{{index}{'' if _is_whole(k, low, high) else bounds}}} "
        return ranges + self.parenthesize(e.function, 40)

    def _print_weighed(self, e: sp.Expr) -> str:
        weight, value = e.args
        return rf"{self.parenthesize(weight, 50)} {self.parenthesize(value, 51)}"


def equation_text(equation: Equation) -> str:
    """``target = right side`` in one line of plain text."""
    printer = TextPrinter()
    return f"{printer.doprint(equation.target)} = {printer.doprint(_unfolded(equation))}"


def equation_latex(equation: Equation) -> str:
    """``target = right side`` in LaTeX."""
    printer = LatexEquations()
    return f"{printer.doprint(equation.target)} = {printer.doprint(_unfolded(equation))}"


def _unfolded(equation: Equation) -> sp.Expr:
    """The right side with its sums, in which SymPy would pull a case distinction out of the sum."""
    held: dict[sp.Expr, sp.Expr] = {}
    for t in equation.terms:
        for p in t.body.atoms(sp.Piecewise):
            held[p] = sp.Dummy(real=True)
    if equation.kind == "max" or not held or not any(t.over for t in equation.terms):
        return equation.expression()
    shown = Equation(equation.target, tuple(t.map(held) for t in equation.terms), equation.kind).expression()
    return shown.replace(lambda s: s in held.values(), lambda s: _Shown(next(p for p, d in held.items() if d == s)))


class _Shown(sp.Function):
    """A case distinction held still inside a sum, for printing."""

    nargs = 1

    def __new__(cls, e: sp.Piecewise) -> "_Shown":
        return sp.Expr.__new__(cls, sp.Tuple(*(sp.Tuple(v, c) for v, c in e.args)))

    def _as_cases(self) -> sp.Piecewise:
        return sp.Piecewise(*((v, c) for v, c in self.args[0]), evaluate=False)

    def _sympystr(self, printer: StrPrinter) -> str:
        return printer._print(self._as_cases())

    def _latex(self, printer: LatexPrinter, exp: object = None) -> str:
        return printer._print(self._as_cases())
