"""SymPy expressions as Numba text: values in the kernel's dtype T, indices and sizes as integers."""

from collections.abc import Callable, Collection, Iterator

import sympy as sp
from sympy.printing.pycode import PythonCodePrinter

from derive.calculus.equation import tensors_of
from derive.calculus.stable import weighed

FUNCTIONS = ("erf", "erfc", "exp", "expm1", "log", "log1p", "tanh")  # what generated/functions.py has
OF_NUMPY = ("floor", "sqrt")  # what NumPy has that LLVM can vectorise
RELATIONS = {sp.Eq: "==", sp.Ne: "!=", sp.Gt: ">", sp.Ge: ">=", sp.Lt: "<", sp.Le: "<="}
SUM, PRODUCT, POWER = 40, 50, 60  # precedences: what binds less stands in parentheses


def _sum_text(printer: PythonCodePrinter, e: sp.Add) -> str:
    """A sum with what is added first and what is subtracted last: ``last - first``, ``1 - a``."""
    text = ""
    for a in sorted(e.args, key=lambda a: (a.could_extract_minus_sign(), a.is_number)):
        negative = a.could_extract_minus_sign()
        part = printer.parenthesize(-a if negative else a, SUM)
        text += f" - {part}" if negative and text else f"-{part}" if negative else f" + {part}" if text else part
    return text


class first_tap(sp.Function):
    """The engine's function of that name: (at, step, divisor, taps)."""

    is_integer = True


class gcd(sp.Function):
    """The greatest common divisor, for symbols as well."""

    is_integer = True


class IndexPrinter(PythonCodePrinter):
    """Integers: affine expressions of indices and sizes, and what divides them."""

    def __init__(self) -> None:
        super().__init__({"fully_qualified_modules": False})

    def _print_Add(self, e: sp.Add, order: object = None) -> str:
        return _sum_text(self, e)

    def _print_Mul(self, e: sp.Mul) -> str:
        return " * ".join(self.parenthesize(f, PRODUCT) for f in e.as_ordered_factors())

    def _print_floor(self, e: sp.floor) -> str:
        top, bottom = sp.fraction(sp.together(e.args[0]))
        return f"{self.parenthesize(top, PRODUCT)} // {self.parenthesize(bottom, POWER)}"

    def _print_ceiling(self, e: sp.ceiling) -> str:
        top, bottom = sp.fraction(sp.together(e.args[0]))
        return self._print_floor(sp.floor((top + bottom - 1) / bottom, evaluate=False))

    def _print_Mod(self, e: sp.Mod) -> str:
        return f"{self.parenthesize(e.args[0], PRODUCT)} % {self.parenthesize(e.args[1], POWER)}"

    def _print_first_tap(self, e: sp.Function) -> str:
        return f"{e.func.__name__}({', '.join(map(self._print, e.args))})"

    _print_gcd = _print_first_tap

    def parenthesize(self, item: sp.Expr, level: int, strict: bool = False) -> str:
        text = self._print(item)
        divided = isinstance(item, sp.floor | sp.ceiling | sp.Mod) and level >= PRODUCT
        return f"({text})" if divided or (item.is_Add and level > SUM) or (item.is_Mul and level >= POWER) else text


class ValuePrinter(PythonCodePrinter):
    """Real arithmetic in the dtype T of a kernel; ``place`` says how a tensor component is read, ``index`` an integer."""

    fuses = False  # whether there is `fma`

    def __init__(
        self, place: Callable[[sp.Indexed], str], index: Callable[[sp.Expr], str], *, typed: bool = True
    ) -> None:
        super().__init__({"fully_qualified_modules": False})
        self.place, self.index, self.typed = place, index, typed
        self.used: set[str] = set()
        self.scalars: set[str] = set()
        self.constants = False

    def number(self, text: str) -> str:
        """A number as the dtype has it."""
        self.constants |= self.typed
        return f"T({text})" if self.typed else text

    def _print_Integer(self, e: sp.Integer) -> str:
        return self.number(str(int(e)))

    _print_Zero = _print_One = _print_NegativeOne = _print_Integer

    def _print_Rational(self, e: sp.Rational) -> str:
        return self.number(repr(float(e)) if self.typed else f"{e.p} / {e.q}")

    _print_Half = _print_Rational

    def _print_Float(self, e: sp.Float) -> str:
        return self.number(repr(float(e)))

    def _print_NumberSymbol(self, e: sp.NumberSymbol) -> str:
        return self.number(repr(float(e)))

    _print_Pi = _print_Exp1 = _print_NumberSymbol

    def _print_Indexed(self, e: sp.Indexed) -> str:
        return self.place(e)

    def _print_Symbol(self, e: sp.Symbol) -> str:
        if e.name.startswith("."):  # a local variable
            return e.name[1:]
        if e.is_integer:
            return self.number(self.index(e))
        self.scalars.add(e.name)
        return self.number(e.name)

    def _print_floor(self, e: sp.Expr) -> str:
        if not e.args[0].atoms(sp.Indexed) and all(s.is_integer for s in e.free_symbols):
            return self.number(self.index(e))
        return self._print_Function(e)

    _print_ceiling = _print_Mod = _print_floor

    def _print_Add(self, e: sp.Add, order: object = None) -> str:
        return _sum_text(self, e)

    def parenthesize(self, item: sp.Expr, level: int, strict: bool = False) -> str:
        """What prints as a call, ``T(0.1)`` or ``sqrt(x)``, needs no parentheses."""
        if self.typed and item.is_Rational and item.is_nonnegative:
            return self._print(item)
        if item.is_Pow and item.exp == sp.Rational(1, 2):
            return self._print(item)
        return super().parenthesize(item, level, strict)

    def _print_Mul(self, e: sp.Mul) -> str:
        e = _upright(e)
        if e.as_coeff_Mul()[0].is_negative:
            return f"-{self._print(-e) if isinstance(-e, sp.Mul) else self.parenthesize(-e, PRODUCT)}"
        above, below = [], []
        for f in e.as_ordered_factors():
            if f.is_Pow and f.exp.is_number and f.exp.is_negative:
                below.append(f.base**-f.exp)
            else:
                above.append(f)
        top = " * ".join(self.parenthesize(f, PRODUCT) for f in above) or self.number("1")
        if not below:
            return top
        if len(below) == 1:
            return f"{top} / {self.parenthesize(below[0], POWER)}"
        return f"{top} / ({' * '.join(self.parenthesize(f, PRODUCT) for f in below)})"

    def _print_Pow(self, e: sp.Pow, rational: bool = False) -> str:
        base, power = e.as_base_exp()
        if power.is_number and power.is_negative:
            return f"{self.number('1')} / {self.parenthesize(base**-power, POWER)}"
        root = (2 * power).is_Integer and not power.is_Integer
        times = int(power) if power.is_Integer or root else 0
        if power.is_number and 0 <= times <= 4 and (root or power.is_Integer):
            self.used |= {"sqrt"} if root else set()
            return " * ".join([self.parenthesize(base, PRODUCT + 1)] * times + [f"sqrt({self._print(base)})"] * root)
        exponent = str(power) if power.is_Integer else self.parenthesize(power, POWER)
        return f"{self.parenthesize(base, POWER)} ** {exponent}"

    def _print_Function(self, e: sp.Function) -> str:
        name = e.func.__name__
        if name not in (*FUNCTIONS, *OF_NUMPY):
            known = ", ".join((*FUNCTIONS, *OF_NUMPY))
            raise NotImplementedError(f"there is no kernel function {name}; there are {known}")
        self.used.add(name)
        inside = (a.args[0] if isinstance(a, sp.UnevaluatedExpr) else a for a in e.args)
        return f"{name}({', '.join(map(self._print, inside))})"

    _print_exp = _print_log = _print_tanh = _print_expm1 = _print_log1p = _print_Function
    _print_sin = _print_cos = _print_tan = _print_erf = _print_erfc = _print_gamma = _print_Function

    def _print_not_supported(self, e: sp.Basic) -> str:
        raise NotImplementedError(f"there is no kernel code for {type(e).__name__} in {e}")

    emptyPrinter = _print_not_supported

    def _print_Abs(self, e: sp.Abs) -> str:
        return f"abs({self._print(e.args[0])})"

    def _print_sign(self, e: sp.sign) -> str:
        x = e.args[0]
        return self._print(sp.Piecewise((1, x > 0), (-1, x < 0), (0, True), evaluate=False))

    def _print_UnevaluatedExpr(self, e: sp.Expr) -> str:
        return f"({self._print(e.args[0])})"

    def _print_Max(self, e: sp.Expr) -> str:
        name = "max" if isinstance(e, sp.Max) else "min"
        return f"{name}({', '.join(self._print(a) for a in sorted(e.args, key=lambda a: (a.is_number, str(a))))})"

    _print_Min = _print_Max

    def _print_weighed(self, e: weighed) -> str:
        weight, value = e.args
        constant, rest = weight.as_coeff_Add()
        absent = sp.Eq(-rest, constant) if rest.could_extract_minus_sign() else sp.Eq(rest, -constant)
        return f"({self.number('0')} if {self.condition(absent)} else {self._print(weight * value)})"

    def _print_KroneckerDelta(self, e: sp.KroneckerDelta) -> str:
        return self._print(sp.Piecewise((1, sp.Eq(*e.args)), (0, True), evaluate=False))

    def _print_Piecewise(self, e: sp.Piecewise) -> str:
        text = ""
        for value, condition in e.args:
            if condition == True:  # noqa: E712
                return f"({text}{self._print(value)})"
            text += f"{self._print(value)} if {self.condition(condition)} else "
        raise NotImplementedError(f"the cases {e} leave some out; give a last one, (value, otherwise)")

    def condition(self, c: sp.Basic, *, of_places: bool = False) -> str:
        """A relation between values or between indices; ``of_places``: tensors in it are addresses."""
        if isinstance(c, sp.And | sp.Or):
            word = " and " if isinstance(c, sp.And) else " or "
            parts = [self.condition(a) for a in sorted(c.args, key=str)]
            return word.join(f"({p})" if isinstance(c, sp.Or) or " or " in p else p for p in parts)
        if isinstance(c, sp.Not):
            return f"not ({self.condition(c.args[0])})"
        if type(c) not in RELATIONS:
            raise NotImplementedError(f"the condition {c} is not a comparison")
        turned = isinstance(c, sp.Eq | sp.Ne) and c.lhs.is_number  # the index first, as in `e == 3`
        left, right = (c.rhs, c.lhs) if turned else (c.lhs, c.rhs)
        if of_places or (left.is_integer and right.is_integer and not tensors_of(c)):
            if isinstance(c, sp.Eq | sp.Ne):
                return f"{self.index(left)} {RELATIONS[type(c)]} {self.index(right)}"
            above, below = _balanced(c.gts - c.lts)
            strict = isinstance(c, sp.Gt | sp.Lt)
            if not strict and below.as_coeff_Add()[0] >= 1:
                below, strict = below - 1, True
            if below.is_number:  # what varies comes first
                return f"{self.index(above)} {'>' if strict else '>='} {self.index(below)}"
            return f"{self.index(below)} {'<' if strict else '<='} {self.index(above)}"
        sides = (
            self.index(s) if s.is_integer and not tensors_of(s) and s.free_symbols else self._print(s)
            for s in (left, right)
        )
        return f" {RELATIONS[type(c)]} ".join(sides)


class LanePrinter(ValuePrinter):
    """Arithmetic of vectors: choices by ``where``; ``whole`` gives a whole number the dtype of the tensor it is held to."""

    fuses = True

    def __init__(
        self,
        place: Callable[[sp.Indexed], str],
        index: Callable[[sp.Expr], str],
        whole: Callable[[str, str], str],
    ) -> None:
        super().__init__(place, index)
        self.whole = whole

    def _print_Add(self, e: sp.Add, order: object = None) -> str:
        """A product and what is added to it are rounded together."""
        for product in e.args:
            negative = product.could_extract_minus_sign()
            factors = sp.Mul.make_args(-product if negative else product)
            if len(factors) == 2 and all(f.has(sp.Indexed) or str(f)[:1] == "." for f in factors):
                first, second = (self._print(f) for f in (-factors[0] if negative else factors[0], factors[1]))
                self.used.add("fma")
                return f"fma({first}, {second}, {self._print(e - product)})"
        return super()._print_Add(e, order)

    def _where(self, condition: str, value: str, other: str) -> str:
        self.used.add("where")
        return f"where({condition}, {value}, {other})"

    def _print_Piecewise(self, e: sp.Piecewise) -> str:
        if e.args[-1][1] != True:  # noqa: E712
            raise NotImplementedError(f"the cases {e} leave some out; give a last one, (value, otherwise)")
        text = self._print(e.args[-1][0])
        for value, condition in reversed(e.args[:-1]):
            text = self._where(self.condition(condition), self._print(value), text)
        return text

    def _print_weighed(self, e: weighed) -> str:
        weight, value = e.args
        return self._where(
            f"{self._print(weight)} == {self.number('0')}", self.number("0"), self._print(weight * value)
        )

    def _print_Max(self, e: sp.Expr) -> str:
        sign = ">" if isinstance(e, sp.Max) else "<"
        text, *rest = (self._print(a) for a in sorted(e.args, key=lambda a: (a.is_number, str(a))))
        for other in rest:
            text = self._where(f"{text} {sign} {other}", text, other)
        return text

    _print_Min = _print_Max

    def condition(self, c: sp.Basic, *, of_places: bool = False) -> str:
        if of_places:
            return super().condition(c, of_places=True)
        if isinstance(c, sp.And | sp.Or):
            sign = " & " if isinstance(c, sp.And) else " | "
            return sign.join(f"({self.condition(a)})" for a in sorted(c.args, key=str))
        if isinstance(c, sp.Not):
            return f"~({self.condition(c.args[0])})"
        held = [s for s in c.args if isinstance(s, sp.Indexed) and s.is_integer]
        if held and isinstance(c, sp.Eq):
            (other,) = (s for s in c.args if s is not held[0])
            return f"{self.place(held[0])} == {self.whole(held[0].base.name, self.index(other))}"
        return super().condition(c)


def _upright(e: sp.Mul) -> sp.Expr:
    """``-(b - a) c`` as ``(a - b) c``, where that leaves no more to be subtracted."""
    if e.args[0] == -1:
        for f in e.args:
            if f.is_Add and 2 * sum(a.could_extract_minus_sign() for a in f.args) <= len(f.args):
                continue
            if f.is_Add:
                return sp.Mul(*(-f if g is f else g for g in e.args[1:]))
    return e


def _balanced(gap: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """``gap`` as a difference of two sums in which nothing is subtracted."""
    addends = sp.Add.make_args(sp.expand(gap))
    below = [-a for a in addends if a.could_extract_minus_sign()]
    return sp.Add(*(a for a in addends if not a.could_extract_minus_sign())), sp.Add(*below)


def with_locals(bodies: list[sp.Expr], taken: Collection[str]) -> tuple[list[tuple[sp.Symbol, sp.Expr]], list[sp.Expr]]:
    """Local variables for common subexpressions, calls inside case distinctions (straight lines vectorise), and what is squared.

    Of exponentials one of which is a power of another, only that other is called.
    """
    operands = sorted({x for b in bodies for x in tensors_of(b)}, key=str)
    reads = {x: sp.Dummy(f"#{n}", real=True) for n, x in enumerate(operands)}
    back = {d: x for x, d in reads.items()}
    bodies = [b.xreplace(reads) for b in bodies]
    names = _local_names(taken)
    calls = {
        call
        for body in bodies
        for choice in body.atoms(sp.Piecewise, weighed)
        for call in choice.atoms(sp.exp, sp.Function)
        if call.func.__name__ in FUNCTIONS
    }
    powers = _powers({x for b in bodies for x in b.atoms(sp.exp)})
    calls = calls - set(powers) | {base for base, _ in powers.values()}
    calls |= {p.base for b in bodies for p in b.atoms(sp.Pow) if not p.base.is_Atom and p.exp.is_Integer and p.exp > 1}
    relations = {r for b in bodies for c in _conditions(b) for r in c.atoms(sp.Rel)}
    calls |= {side for r in relations for side in r.args if side.args and side.atoms(sp.Dummy) & set(back)}
    lifted: dict[sp.Expr, sp.Symbol] = {}
    for call in sorted(calls, key=lambda c: (sp.count_ops(c), str(c.xreplace(back)))):
        lifted[call.xreplace(lifted)] = next(names)
    bodies = [b.xreplace({x: lifted[base] ** power for x, (base, power) in powers.items()}) for b in bodies]
    for call, name in lifted.items():
        bodies = [b.xreplace({call: name}) for b in bodies]
    held = {c: sp.Dummy() for c in sorted({c for b in bodies for c in _conditions(b)}, key=str)}
    back |= {d: c.xreplace(back) for c, d in held.items()}
    whole = [
        b.replace(sp.Piecewise, lambda *args: sp.Piecewise(*((v, held.get(c, c)) for v, c in args)))
        for b in (*lifted, *bodies)
    ]
    found, whole = sp.cse(whole, symbols=names, order="canonical", list=True)
    found = [*zip(lifted.values(), whole, strict=False), *found]
    same = {name: e for name, e in found if e.is_Symbol and not isinstance(e, sp.Dummy)}  # found a second time
    back = {d: x.xreplace(same) for d, x in back.items()}
    found = [(name, e.xreplace(same).xreplace(back)) for name, e in found if name not in same]
    return _in_order(found), [b.xreplace(same).xreplace(back) for b in whole[len(lifted) :]]


def _conditions(body: sp.Expr) -> set[sp.Basic]:
    """The conditions of all case distinctions."""
    return {c for p in body.atoms(sp.Piecewise) for _, c in p.args if c != True}  # noqa: E712


def _powers(exponentials: set[sp.exp]) -> dict[sp.exp, tuple[sp.exp, int]]:
    """Those that are a power of another one, with that one and the power: ``exp(-2 x)`` is ``exp(-x)**2``."""
    found = {}
    for x in exponentials:
        ratios = {y: x.exp / y.exp for y in exponentials}
        whole = {int(ratio): y for y, ratio in ratios.items() if ratio.is_Integer and ratio > 1}
        if whole:
            found[x] = whole[max(whole)], max(whole)
    return found


def _in_order(found: list[tuple[sp.Symbol, sp.Expr]]) -> list[tuple[sp.Symbol, sp.Expr]]:
    """Each variable after those that it reads."""
    order: list[tuple[sp.Symbol, sp.Expr]] = []
    waiting = list(found)
    while waiting:
        unknown = {name for name, _ in waiting}
        ready = [(name, e) for name, e in waiting if not e.free_symbols & unknown]
        order += ready
        waiting = [pair for pair in waiting if pair not in ready]
    return order


def _local_names(taken: Collection[str]) -> Iterator[sp.Symbol]:
    """Letters that nothing else has, then t1, t2, ..."""
    names = (*"epqrtuvh", *(f"t{n}" for n in range(1, 1000)))
    return (sp.Symbol(f".{name}", real=True) for name in names if name not in taken)
