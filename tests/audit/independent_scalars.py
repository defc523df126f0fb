"""Update rules and one logistic output in exact numbers: every letter stands for one number.

Exponentials and logarithms stay exact because z is the logarithm of a rational number. Where a formula makes something
of them that is no rational combination of logarithms, both sides are enclosed in intervals: they differ if those do not
meet.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import mpmath
from independent import (
    DIFFERENT,
    Beyond,
    Dual,
    Evaluator,
    Inexact,
    Meaningless,
    Section,
    as_scripted,
    drawer,
    parsed,
    plain,
    walk,
)

from derive.audit.syntax import formula as f

COSTS = ("C", "E", "L", "J", "xi")

# -- update rules -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One step of a run: what stood before it, and what it makes of that."""

    numbers: dict[str, Fraction]
    old: dict[str, Fraction]  # w and v
    new: dict[str, Fraction]


def run(numbers: dict[str, Fraction], gradients: list[Fraction], velocity: str, pull: Fraction) -> Iterator[Step]:
    """Gradient descent with momentum; `pull` times the weight is what a penalty adds to its gradient.

    What is called velocity: falls, v = gamma v + alpha g and w = w - v; rises, the opposite sign; of gradients,
    v = gamma v + g and w = w - alpha v; last step, v = gamma (v + alpha g before) and w = w - v - alpha g; none, w = w - alpha g.
    """
    alpha, gamma = numbers["alpha"], numbers["gamma"]
    w, v, before = numbers["w"], numbers["v"], numbers["g before"]
    for given in gradients:
        g = given + pull * w
        if not velocity:
            new_v, new_w = v, w - alpha * g
        elif velocity == "last step":
            new_v = gamma * (v + alpha * before)
            new_w = w - new_v - alpha * g
        else:
            factor = {"velocity falls": alpha, "velocity rises": -alpha, "velocity of gradients": Fraction(1)}[velocity]
            new_v = gamma * v + factor * g
            new_w = w - new_v * alpha / factor
        yield Step(numbers | {"g": given, "g before": before}, {"w": w, "v": v}, {"w": new_w, "v": new_v})
        w, v, before = new_w, new_v, g


class OfRule(Evaluator):
    """The letters of an update rule."""

    names: ClassVar = {
        **dict.fromkeys(("w", "W", "b", "theta"), "w"), **dict.fromkeys(("v", "u"), "v"), "eta": "alpha", "alpha": "alpha",
        **dict.fromkeys(("gamma", "mu", "beta", "rho"), "gamma"), "lambda": "lambda", "m": "m", "n": "m", "N": "m", "g": "g",
    }  # fmt: skip

    def __init__(self, step: Step, relation: f.Relation) -> None:
        super().__init__({}, {})
        self.step = step
        symbols = [n for n in walk(relation.left) if isinstance(n, f.Scripted | f.Name)]
        found = [n for n in map(as_scripted, symbols) if self.names.get(getattr(n.base, "text", "")) in ("w", "v")]
        self.first = found[0] if found else f.Scripted(f.Name(""))
        self.updated = self.names.get(getattr(self.first.base, "text", ""), "")

    def named(self, node: f.Scripted) -> str:
        text = node.base.text if isinstance(node.base, f.Name | f.Word) else ""
        if text not in self.names:
            raise Meaningless(f"the letter {text}")
        return self.names[text]

    def sides(self, relation):
        if not self.updated:
            raise Meaningless("what is updated")
        alone = as_scripted(relation.left) == self.first
        return self.step.new[self.updated] if alone else self.value(relation.left), self.value(relation.right)

    def symbol(self, node):
        name = self.named(node)
        if name not in ("w", "v"):
            if node.sup and isinstance(node.sup[0], f.Number) and len(node.sup) == 1:
                return self.power(self.step.numbers[name], node.sup[0].value)
            if node.sup or node.primes or (node.sub and name != "g"):
                raise Meaningless("scripts")
            return self.step.numbers[name]
        if name == "w" and self.updated == "w" and node.base != self.first.base:
            raise Meaningless("another parameter than the updated")
        at = shift_of(node)
        left = shift_of(self.first)
        if at is not None and left is not None:
            when = at - left
        elif at is not None:
            when = at  # v_t beside a weight without steps
        else:
            when = 0 if name == "v" and self.updated == "w" else -1
        if when not in (0, -1):
            raise Meaningless("a step before the last")
        return (self.step.new if when == 0 else self.step.old)[name]

    def _gradient(self, node):
        self.of_cost(node.of)
        if node.by is not None:
            self.by_parameter(node.by)
        return self.step.numbers["g"]

    def _derivative(self, node):
        self.of_cost(node.of)
        self.by_parameter(node.by)
        return self.step.numbers["g"]

    def by_parameter(self, node: f.Node) -> None:
        by = as_scripted(node)
        if self.named(by) != "w" or (self.updated == "w" and by.base != self.first.base):
            raise Meaningless("a derivative by what is not updated")

    def of_cost(self, node: f.Node) -> None:
        base = as_scripted(node).base
        if not isinstance(base, f.Name) or base.text not in COSTS:
            raise Meaningless("only a cost is differentiated")


def shift_of(node: f.Scripted) -> int | None:
    """`v_t` is at 0, `v_{t-1}` at -1."""
    for item in map(plain, (*node.sub, *node.sup)):
        if item == f.Name("t"):
            return 0
        if isinstance(item, f.Addition) and item.terms[0] == (1, f.Name("t")):
            (_, _), (sign, by) = item.terms
            return sign * int(by.value) if isinstance(by, f.Number) else None
    return None


class RuleSection(Section):
    """Update rules, run for three steps."""

    def __init__(self, velocity: str = "velocity falls") -> None:
        self.velocity = velocity

    def cases(self):
        for seed in range(4):
            draw = drawer(f"rule {seed}")
            numbers = {name: draw() for name in ("alpha", "gamma", "lambda", "w", "v", "g before")}
            numbers["m"] = Fraction(seed + 2)
            yield numbers, [draw() for _ in range(3)]

    def steps(self, relation: f.Relation, case: Any) -> Iterator[Step]:
        numbers, gradients = case
        everything = list(walk((relation.left, relation.right)))
        names: ClassVar = {n.text for n in everything if isinstance(n, f.Name)}
        pull = Fraction(0)
        if "lambda" in names:
            pull = numbers["lambda"] / numbers["m"] if names & {"m", "n", "N"} else numbers["lambda"]
            moved = any(isinstance(n, f.Gradient | f.Derivative) for n in everything) or names & {"g", "v", "u"}
            gradients = gradients if moved else [Fraction(0)] * len(gradients)  # the penalty alone
        return run(numbers, gradients, self.velocity if names & {"v", "u"} else "", pull)

    def letters(self, relation):
        return set()

    def compare(self, relation, case, modes):
        found = ""
        for step in self.steps(relation, case):
            found = super().compare(relation, step, modes)
            if found == DIFFERENT:
                return found
        return found

    def evaluator(self, relation, case, letters, modes):
        step = case if isinstance(case, Step) else next(self.steps(relation, case))
        return OfRule(step, relation)

    def restored(self, counterexample):
        numbers = {name: Fraction(1) for name in ("alpha", "gamma", "lambda", "w", "v", "g before", "m")}
        gradient = Fraction(1)
        for name, value in counterexample["values"].items():
            key = {r"\frac{\lambda}{m}": "lambda", "v_{t-1}": "v", r"\nabla C_{t-1}": "g before"}.get(
                name, name.strip("\\")
            )
            if name == r"\nabla C":
                gradient = Fraction(value)
            elif name == "v_t":  # what the step makes of the others
                numbers["v'"] = Fraction(value)
            elif key in OfRule.names or key in numbers:
                numbers[OfRule.names.get(key, key)] = Fraction(value)
            else:
                raise AssertionError(f"a value that the checker does not know: {name}")
        numbers["m"] = Fraction(counterexample["sizes"].get("m", numbers["m"]))
        if r"\frac{\lambda}{m}" in counterexample["values"]:
            numbers["lambda"] *= numbers["m"]
        return numbers, [gradient]

    def replay(self, relation, counterexample):
        case = self.restored(counterexample)
        step = next(self.steps(relation, case))
        return case[0].get("v'", step.new["v"]) == step.new["v"] and super().replay(relation, counterexample)


def products(text: str) -> str:
    """`2 log 3` as `2*log(3)`."""
    return re.sub(r"(?<=\d) log", "*log", re.sub(r"log (\d+)", r"log(\1)", text))


def close(text: str, found: Any) -> bool:
    """Whether an interval has the number that a counterexample states, or begins with the digits that it does."""
    if text.endswith("..."):
        return mpmath.nstr(mpmath.mpf(found.a), 30).startswith(text.removesuffix("..."))
    told = parsed(products(text), mpmath.iv.mpf, log=log, exp=exp)
    return told.a <= found.b and found.a <= told.b and found.delta < 1e-9


# -- one logistic output ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Logs:
    """A rational number plus rational multiples of logarithms of primes, which no rational relation ties."""

    rational: Fraction
    of: tuple[tuple[int, Fraction], ...]

    @staticmethod
    def made(rational: Fraction, of: dict[int, Fraction]) -> "Logs | Fraction":
        kept = tuple(sorted((p, k) for p, k in of.items() if k))
        return Logs(rational, kept) if kept else rational

    def __add__(self, other):
        other = other if isinstance(other, Logs) else Logs(Fraction(other), ())
        total = dict(self.of)
        for p, k in other.of:
            total[p] = total.get(p, Fraction(0)) + k
        return Logs.made(self.rational + other.rational, total)

    def __mul__(self, other):
        if isinstance(other, Logs):
            raise Inexact("a product of logarithms")
        return Logs.made(self.rational * other, {p: k * other for p, k in self.of})

    def __truediv__(self, other):
        if isinstance(other, Logs):
            raise Inexact("a quotient of logarithms")
        return self * (1 / Fraction(other))

    def __rtruediv__(self, other):
        raise Inexact("a quotient of logarithms")

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + -other

    __radd__, __rmul__ = __add__, __mul__


def log(x: Any) -> Any:
    if isinstance(x, mpmath.ctx_iv.ivmpf):
        if x.a <= 0:
            raise Beyond("the logarithm of what is not positive")
        return mpmath.iv.log(x)
    if isinstance(x, Logs):
        raise Inexact("the logarithm of a logarithm")
    if x <= 0:
        raise Beyond("the logarithm of what is not positive")
    found: dict[int, Fraction] = {}
    for number, sign in ((x.numerator, 1), (x.denominator, -1)):
        p = 2
        while number > 1:
            while number % p == 0:
                found[p] = found.get(p, Fraction(0)) + sign
                number //= p
            p += 1
    return Logs.made(Fraction(0), found)


def exp(x: Any) -> Any:
    if isinstance(x, mpmath.ctx_iv.ivmpf):
        return mpmath.iv.exp(x)
    x = x if isinstance(x, Logs) else Logs(Fraction(x), ())
    if x.rational or any(k.denominator != 1 for _, k in x.of):
        raise Inexact("an exponential")
    found = Fraction(1)
    for p, k in x.of:
        found *= Fraction(p) ** int(k)
    return found


@dataclass(frozen=True)
class Output:
    """y = 1 / (1 + e^-z) for z = log of `odds`, the target t, and the cross-entropy of both."""

    odds: Fraction
    t: Fraction

    def numbers(self, bump: str = "") -> dict[str, Dual]:
        """All of them, with their slopes by one."""
        found = {"z": Dual(log(self.odds), Fraction(bump == "z")), "t": Dual(self.t)}
        e = Dual(1 / self.odds, -found["z"].slope / self.odds)
        found["y"] = Dual(Fraction(1)) / (Dual(Fraction(1)) + e) + Dual(Fraction(0), Fraction(bump == "y"))
        yes, no = found["y"], Dual(Fraction(1)) - found["y"]
        found["C"] = -(found["t"] * dual_log(yes)) - (Dual(Fraction(1)) - found["t"]) * dual_log(no)
        return found


def dual_log(x: Dual) -> Dual:
    return Dual(log(x.value), x.slope / x.value)


class OfOutput(Evaluator):
    """The letters of one logistic output; in `intervals`, numbers are enclosed instead of exact."""

    names: ClassVar = {
        "z": "z",
        "y": "y",
        "a": "y",
        "output": "y",
        "t": "t",
        "target": "t",
        **dict.fromkeys(COSTS, "C"),
    }
    slopes = ("loss_derivative", r"loss\_derivative", "loss derivative")

    def __init__(self, output: Output, intervals: bool) -> None:
        super().__init__({}, {})
        self.output, self.intervals = output, intervals

    def number(self, x: Any) -> Any:
        if not self.intervals:
            return x
        x = x if isinstance(x, Logs) else Logs(x, ())
        total = mpmath.iv.mpf(x.rational.numerator) / x.rational.denominator
        for p, k in x.of:
            total += mpmath.iv.mpf(k.numerator) / k.denominator * mpmath.iv.log(p)
        return total

    def _number(self, node):
        return self.number(node.value)

    def symbol(self, node):
        text = node.base.text if isinstance(node.base, f.Name | f.Word) else ""
        if text == "e" and len(node.sup) == 1 and not node.sub:
            return exp(self.value(node.sup[0]))
        if node.sub or node.primes or len(node.sup) > 1:
            raise Meaningless("scripts")
        if text in self.slopes:
            value = self.number(self.output.numbers("z")["C"].slope)
        elif text == "word delta":
            value = self.number(-self.output.numbers("z")["C"].slope)
        elif text in self.names:
            value = self.number(self.output.numbers()[self.names[text]].value)
        else:
            raise Meaningless(f"the letter {text}")
        return self.power(value, self.value(node.sup[0])) if node.sup else value

    def power(self, value, exponent):
        if isinstance(exponent, Logs) or (isinstance(value, Logs) and exponent != 1):
            raise Inexact("a power")
        if not self.intervals:
            return super().power(value, exponent)
        if value.a <= 0 <= value.b:
            return value ** int(exponent.a) if exponent.delta == 0 and exponent.a > 0 else inexact()
        return value**exponent

    def applied(self, function, argument):
        text = function.base.text if isinstance(function.base, f.Name) else ""
        if text in ("log", "ln", "exp") and not function.primes:
            return exp(argument) if text == "exp" else log(argument)
        if text in ("sigma", "g", "f", "phi") and function.primes <= 1:
            y = 1 / (1 + exp(-argument))
            return y * (1 - y) if function.primes else y
        raise Meaningless("a function")

    def _call(self, node):
        name = as_scripted(node.function).base
        if not isinstance(name, f.Name) or name.text not in COSTS:
            raise Meaningless("a function of several arguments")
        t, y = node.arguments
        if (t, y) != (f.Name("t"), f.Name("y")):
            raise Meaningless("a cost of something else")
        return self.symbol(as_scripted(name))

    def _probability(self, node):
        event = node.event
        if event.left != f.Name("t") or event.right not in (f.Number(Fraction(0)), f.Number(Fraction(1))):
            raise Meaningless("an event")
        y = self.output.numbers()["y"].value
        return self.number(y if event.right.value else 1 - y)

    def _derivative(self, node):
        of, by = (self.names.get(getattr(n, "text", ""), "") for n in (node.of, node.by))
        if by not in ("z", "y") or (of, by) not in (("C", "z"), ("C", "y"), ("y", "z")):
            raise Meaningless("a derivative")
        return self.number(self.output.numbers(by)[of].slope)


def inexact() -> Any:
    raise Inexact("a power of what may be zero")


class OutputSection(Section):
    """Formulas of one logistic output; `target` is that of the case they are in, if they are in one."""

    def __init__(self, target: int | None = None) -> None:
        self.target = target

    def cases(self):
        source = random.Random(1)
        for odds in (Fraction(2), Fraction(3), Fraction(1, 5), Fraction(6, 5), Fraction(1, 2)):
            targets = [Fraction(0), Fraction(1), Fraction(1, 3), Fraction(source.choice([2, 3]))]
            yield from (Output(odds, t) for t in (targets if self.target is None else [Fraction(self.target)]))

    def letters(self, relation):
        return set()

    def compare(self, relation, case, modes):
        try:
            one, other = OfOutput(case, False).sides(relation)
        except Inexact:
            return self.enclosed(relation, case)
        except Beyond:
            return ""
        except Meaningless:
            return "meaningless"
        return "equal" if one == other else DIFFERENT

    def enclosed(self, relation: f.Relation, case: Output) -> str:
        """Different, if the intervals of both sides do not meet; else nothing."""
        try:
            one, other = OfOutput(case, True).sides(relation)
        except (Inexact, Beyond, ZeroDivisionError):
            return ""
        except Meaningless:
            return "meaningless"
        return DIFFERENT if one.b < other.a or other.b < one.a else ""

    def evaluator(self, relation, case, letters, modes):
        return OfOutput(case, False)

    def number(self, text):
        """`1/2 - log 3 + 2 log 5`, `exp(3/4)`."""
        return parsed(products(text), Fraction, log=log, exp=exp)

    def replay(self, relation, counterexample):
        """Exactly, or within intervals."""
        told = [counterexample["left"], counterexample["right"]]
        try:
            return super().replay(relation, counterexample)
        except Inexact:
            found = OfOutput(self.restored(counterexample), True).sides(relation)
        apart = found[0].b < found[1].a or found[1].b < found[0].a
        return apart and all(map(close, told, found))

    def restored(self, counterexample):
        values = counterexample["values"]
        if set(values) - {"z", "t"}:
            raise AssertionError(f"values that the checker does not know: {values}")
        odds = exp(self.number(values["z"])) if "z" in values else Fraction(2)
        return Output(odds, Fraction(values.get("t", self.target or 0)))
