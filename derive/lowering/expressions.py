"""SymPy expressions as Numba text: values in the kernel's dtype T, indices and sizes as integers."""

from collections.abc import Callable

import sympy as sp
from sympy.printing.pycode import PythonCodePrinter

from derive.calculus.equation import tensors_of
from derive.calculus.stable import weighed

FUNCTIONS = {"exp": "exp", "log": "log", "tanh": "tanh", "expm1": "expm1", "log1p": "log1p"}


def _sum_text(printer: PythonCodePrinter, e: sp.Add) -> str:
    """A sum with what is added first and what is subtracted last: ``last - first``, ``1 - a``."""
    text = ""
    for a in sorted(e.args, key=lambda a: (a.could_extract_minus_sign(), a.is_number)):
        negative = a.could_extract_minus_sign()
        part = printer.parenthesize(-a if negative else a, 40)
        text += f" - {part}" if negative and text else f"-{part}" if negative else f" + {part}" if text else part
    return text


class IndexPrinter(PythonCodePrinter):
    """Affine integer expressions: loop bounds, sizes, addresses."""

    def __init__(self) -> None:
        super().__init__({"fully_qualified_modules": False})

    def _print_Add(self, e: sp.Add, order: object = None) -> str:
        return _sum_text(self, e)

    def _print_floor(self, e: sp.Expr) -> str:
        top, bottom = sp.fraction(sp.together(e.args[0]))
        return f"({self._print(top)}) // {self._print(bottom)}"

    def _print_ceiling(self, e: sp.Expr) -> str:
        top, bottom = sp.fraction(sp.together(e.args[0]))
        return f"-((-({self._print(top)})) // {self._print(bottom)})"


class ValuePrinter(PythonCodePrinter):
    """Real arithmetic in the dtype T of a kernel; ``place`` says how a tensor component is read."""

    def __init__(self, place: Callable[[sp.Indexed], str], *, typed: bool = True) -> None:
        super().__init__({"fully_qualified_modules": False})
        self.place, self.typed = place, typed
        self.used: set[str] = set()
        self.scalars: set[str] = set()
        self.sizes: set[str] = set()
        self.constants = False

    def _number(self, text: str) -> str:
        if not self.typed:
            return text
        self.constants = True
        return f"T({text})"

    def _print_Integer(self, e: sp.Integer) -> str:
        return self._number(str(int(e)))

    _print_Zero = _print_One = _print_NegativeOne = _print_Integer

    def _print_Rational(self, e: sp.Rational) -> str:
        return self._number(repr(float(e)) if self.typed else f"{e.p} / {e.q}")

    _print_Half = _print_Rational

    def _print_Float(self, e: sp.Float) -> str:
        return self._number(repr(float(e)))

    def _print_Indexed(self, e: sp.Indexed) -> str:
        return self.place(e)

    def _print_Symbol(self, e: sp.Symbol) -> str:
        if e.is_integer:
            if e.name[:1].isupper():
                self.sizes.add(e.name)
                return self._number(e.name) if self.typed else e.name
            return e.name
        if e.is_Dummy or e.name.startswith("."):  # a local variable
            return e.name.lstrip(".")
        self.scalars.add(e.name)
        return self._number(e.name) if self.typed else e.name

    _print_Dummy = _print_Symbol

    def _print_Add(self, e: sp.Add, order: object = None) -> str:
        return _sum_text(self, e)

    def parenthesize(self, item: sp.Expr, level: int, strict: bool = False) -> str:
        """A typed constant, ``T(0.1)``, needs no parentheses."""
        if item.is_number and item.is_Rational and item.is_nonnegative and self.typed:
            return self._print(item)
        return super().parenthesize(item, level, strict)

    def _print_Mul(self, e: sp.Mul) -> str:
        sign = ""
        if e.could_extract_minus_sign():
            e, sign = -e, "-"
            if not isinstance(e, sp.Mul):
                return f"-{self.parenthesize(e, 60)}"
        above, below = [], []
        for f in e.as_ordered_factors():
            if f.is_Pow and f.exp.is_number and f.exp.is_negative:
                below.append(f.base**-f.exp)
            else:
                above.append(f)
        top = " * ".join(self.parenthesize(f, 50) for f in above) or self._number("1")
        if not below:
            return sign + top
        if len(below) == 1:
            return f"{sign}{top} / {self.parenthesize(below[0], 60)}"
        return f"{sign}{top} / ({' * '.join(self.parenthesize(f, 50) for f in below)})"

    def _print_Pow(self, e: sp.Pow, rational: bool = False) -> str:
        base, power = e.as_base_exp()
        if power == -1:
            return f"{self._number('1')} / {self.parenthesize(base, 60)}"
        if power.is_number and power.is_negative:
            return f"{self._number('1')} / {self.parenthesize(base**-power, 60)}"
        if power == sp.Rational(1, 2):
            self.used.add("sqrt")
            return f"sqrt({self._print(base)})"
        if power.is_Integer and power <= 4:
            return " * ".join([self.parenthesize(base, 51)] * int(power))
        if (2 * power).is_Integer:
            return f"{self._print(base ** (power - sp.Rational(1, 2)))} * {self._print(sp.sqrt(base))}"
        return f"{self.parenthesize(base, 60)} ** {self.parenthesize(power, 60)}"

    def _print_Function(self, e: sp.Function) -> str:
        name = e.func.__name__
        if name not in FUNCTIONS:
            raise NotImplementedError(f"no kernel function for {name}; there are {', '.join(sorted(FUNCTIONS))}")
        self.used.add(FUNCTIONS[name])
        inside = (a.args[0] if isinstance(a, sp.UnevaluatedExpr) else a for a in e.args)
        return f"{FUNCTIONS[name]}({', '.join(map(self._print, inside))})"

    _print_exp = _print_log = _print_tanh = _print_expm1 = _print_log1p = _print_Function

    def _print_Abs(self, e: sp.Abs) -> str:
        return f"abs({self._print(e.args[0])})"

    def _print_sign(self, e: sp.Expr) -> str:
        x, zero, one = self.parenthesize(e.args[0], 60), self._number("0"), self._number("1")
        return f"({one} if {x} > {zero} else -{one} if {x} < {zero} else {zero})"

    def _print_UnevaluatedExpr(self, e: sp.Expr) -> str:
        return f"({self._print(e.args[0])})"

    def _print_Max(self, e: sp.Max) -> str:
        return f"max({', '.join(self._print(a) for a in sorted(e.args, key=lambda a: a.is_number))})"

    def _print_Min(self, e: sp.Min) -> str:
        return f"min({', '.join(self._print(a) for a in sorted(e.args, key=lambda a: a.is_number))})"

    def _print_weighed(self, e: weighed) -> str:
        weight, value = e.args
        zero = self._number("0")
        return f"({zero} if {self._print(weight)} == {zero} else {self._print(weight * value)})"

    def _print_Piecewise(self, e: sp.Piecewise) -> str:
        text = ""
        for value, condition in e.args[:-1]:
            text += f"{self._print(value)} if {self._condition(condition)} else "
        return f"({text}{self._print(e.args[-1][0])})"

    def _condition(self, c: sp.Basic) -> str:
        if isinstance(c, sp.And | sp.Or):
            word = " and " if isinstance(c, sp.And) else " or "
            return word.join(f"({self._condition(a)})" for a in sorted(c.args, key=str))
        if isinstance(c, sp.Not):
            return f"not ({self._condition(c.args[0])})"
        sign = {sp.Eq: "==", sp.Ne: "!=", sp.Gt: ">", sp.Ge: ">=", sp.Lt: "<", sp.Le: "<="}[type(c)]
        integers = c.lhs.is_integer and c.rhs.is_integer and not (tensors_of(c.lhs) or tensors_of(c.rhs)) or (
            c.lhs.is_Symbol and c.lhs.is_integer
        )
        sides = [IndexPrinter()._print(s) if integers and not s.has(sp.Indexed) else self._print(s) for s in (c.lhs, c.rhs)]
        return f"{sides[0]} {sign} {sides[1]}"


def with_locals(
    bodies: list[sp.Expr], taken: set[str], *, lift_calls: bool = True
) -> tuple[list[tuple[sp.Symbol, sp.Expr]], list[sp.Expr]]:
    """Common subexpressions, and calls inside case distinctions, as local variables: straight lines vectorise."""
    reads = {x: sp.Dummy(f"#{n}", real=True) for n, x in enumerate(sorted({x for b in bodies for x in tensors_of(b)}, key=str))}
    back = {d: x for x, d in reads.items()}
    bodies = [b.xreplace(reads) for b in bodies]
    names = iter(_names(taken))
    lifted: dict[sp.Expr, sp.Symbol] = {}
    if lift_calls:
        calls = [
            call
            for body in bodies
            for choice in body.atoms(sp.Piecewise, weighed)
            for call in choice.atoms(sp.exp, sp.log, sp.tanh, sp.Function)
            if call.func.__name__ in FUNCTIONS
        ]
        for call in sorted(set(calls), key=lambda c: (sp.count_ops(c), str(c.xreplace(back)))):
            lifted[call.xreplace(lifted)] = next(names)
        bodies = [_replaced(b, lifted) for b in bodies]
    found, bodies = sp.cse(bodies, symbols=names, order="canonical", list=True)
    found = [(name, call) for call, name in lifted.items()] + found
    return _ordered([(name, e.xreplace(back)) for name, e in found]), [b.xreplace(back) for b in bodies]


def _replaced(e: sp.Expr, lifted: dict[sp.Expr, sp.Symbol]) -> sp.Expr:
    for call, name in lifted.items():
        e = e.xreplace({call: name})
    return e


def _ordered(found: list[tuple[sp.Symbol, sp.Expr]]) -> list[tuple[sp.Symbol, sp.Expr]]:
    """Each variable after those that it reads."""
    order, names = [], {name for name, _ in found}
    waiting = list(found)
    while waiting:
        ready = [(n, e) for n, e in waiting if not (e.free_symbols & names - {m for m, _ in order})]
        order += ready
        waiting = [pair for pair in waiting if pair not in ready]
    return order


def _names(taken: set[str]):
    count = 0
    for letter in "epqrtuvh":
        if letter not in taken:
            yield sp.Symbol(f".{letter}", real=True)
    while True:
        count += 1
        yield sp.Symbol(f".t{count}", real=True)
