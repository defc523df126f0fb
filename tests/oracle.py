"""Equations and kernels carried out literally, element by element: what the calculus and the lowering are held to.

Nothing here differentiates or simplifies: a right side is evaluated as it stands, on numbers of whatever kind is given
(PyTorch scalars, which remember how they came about, mpmath's, NumPy's).
"""

import ast
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import sympy as sp

from derive.calculus.equation import Equation, Maximum, Term, size_of


class Arithmetic:
    """The functions of one kind of number; for Python's own, those of ``math``."""

    def __init__(self, library: Any = math, number: Callable[[Any], Any] = float) -> None:
        self.library, self.number = library, number

    def __call__(self, name: str, *x: Any) -> Any:
        return getattr(self.library, name)(*x)


Values = dict[str, dict[tuple[int, ...], Any]]


def plain(x: Any) -> float:
    """A number of whatever kind as a float."""
    return float(x.detach() if hasattr(x, "detach") else x)


def components(array: Any) -> dict[tuple[int, ...], Any]:
    """The components of an array by their places."""
    return {at: array[at] for at in np.ndindex(tuple(array.shape))}


def evaluate(
    equations: Iterable[Equation],
    values: Values,
    sizes: Mapping[str, int],
    arithmetic: Arithmetic | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Values:
    """All components of what the equations define, one equation after the other; a tensor is zero beyond its sizes."""
    at = _Evaluator(dict(values), dict(sizes), arithmetic or Arithmetic(), dict(settings or {}))
    for equation in equations:
        at.state(equation)
    return at.values


class _Evaluator:
    def __init__(self, values: Values, sizes: dict, arithmetic: Arithmetic, settings: dict) -> None:
        self.values, self.sizes, self.arithmetic, self.settings = values, sizes, arithmetic, settings

    def state(self, equation: Equation) -> None:
        found = self.values.setdefault(equation.name, {})
        indices = equation.target.indices
        ranges = [range(self.sizes[size_of(i).name]) if i.is_Symbol else [int(i)] for i in indices]
        for place in itertools.product(*ranges):
            here = {i: p for i, p in zip(indices, place, strict=True) if i.is_Symbol}
            if equation.kind == "max":
                (term,) = equation.terms
                choices = [(self.value(term.body, inside), inside) for inside in self.places(term, here)]
                best = max(choices, key=lambda c: plain(c[0]))  # the first of equals
                found[place] = best[0]
                for k, at in equation.winners().items():
                    self.values.setdefault(at.base.name, {})[place] = best[1][k]
            else:
                total = self.arithmetic.number(0)
                for term in equation.terms:
                    for inside in self.places(term, here):
                        total = total + self.value(term.body, inside)
                found[place] = total

    def places(self, term: Term, here: dict) -> Iterable[dict]:
        """Every assignment of the summed indices at which all conditions are at least zero."""
        if not term.over:
            return [here] if all(self.integer(c, here) >= 0 for c in term.conditions) else []
        k, low, high = term.over[0]
        rest = Term(term.body, term.over[1:], term.conditions)
        span = range(self.integer(low, here), self.integer(high, here) + 1)
        return [inside for value in span for inside in self.places(rest, {**here, k: value})]

    def integer(self, e: sp.Expr, here: dict) -> int:
        sizes = {s: self.sizes[s.name] for s in e.atoms(sp.Symbol) if s.name in self.sizes}
        read = {x: int(self.component(x, here)) for x in e.atoms(sp.Indexed)}
        value = e.xreplace({x: sp.Integer(v) for x, v in read.items()})
        value = value.xreplace({x: sp.Integer(v) for x, v in {**sizes, **here}.items()})
        assert value.is_Integer, f"{e} is not an integer at {here}"
        return int(value)

    def component(self, x: sp.Indexed, here: dict) -> Any:
        place = tuple(self.integer(i, here) for i in x.indices)
        return self.values[x.base.name].get(place, self.arithmetic.number(0))

    def value(self, e: sp.Expr, here: dict) -> Any:
        number = self.arithmetic.number
        if isinstance(e, sp.Indexed):
            return self.component(e, here)
        if e.is_Symbol:
            if e in here:
                return number(here[e])
            return number(self.settings[e.name] if e.name in self.settings else self.sizes[e.name])
        if e.is_Rational:
            return number(e.p) / number(e.q)
        if e.is_number and not e.args:
            return number(e)
        if isinstance(e, sp.Sum | Maximum):
            (value,) = evaluate_one(self, e, here)
            return value
        if isinstance(e, sp.Piecewise):
            return next(self.value(v, here) for v, c in e.args if self.holds(c, here))
        if isinstance(e, sp.KroneckerDelta):
            return number(1 if self.integer(e.args[0], here) == self.integer(e.args[1], here) else 0)
        if isinstance(e, sp.Pow):
            base, power = (self.value(a, here) for a in e.args)
            if e.exp.is_Integer:
                result = number(1)
                for _ in range(abs(int(e.exp))):
                    result = result * base
                return result if e.exp > 0 else number(1) / result
            return self.arithmetic("sqrt", base) if e.exp == sp.Rational(1, 2) else base**power
        inside = [self.value(a, here) for a in e.args]
        name = e.func.__name__
        if isinstance(e, sp.Mod):
            return number(self.integer(e, here))
        if isinstance(e, sp.Add | sp.Mul):
            result = inside[0]
            for x in inside[1:]:
                result = result + x if isinstance(e, sp.Add) else result * x
            return result
        if name in ("Max", "Min"):
            return (max if name == "Max" else min)(inside, key=plain)
        if name == "Abs":
            return abs(inside[0])
        if name == "sign":
            return (
                number(int(inside[0] > 0) - int(inside[0] < 0))
                if not hasattr(inside[0], "detach")
                else inside[0].sign()
            )
        if name == "Heaviside":
            return number(1) if inside[0] > 0 else number(0)
        if name == "weighed":
            return inside[0] * 0 if inside[0] == 0 else inside[0] * inside[1]
        if name == "UnevaluatedExpr":
            return inside[0]
        return self.arithmetic(name, *inside)

    def holds(self, c: Any, here: dict) -> bool:
        if c in (True, False, sp.true, sp.false):
            return bool(c)
        if isinstance(c, sp.And | sp.Or):
            return (all if isinstance(c, sp.And) else any)(self.holds(a, here) for a in c.args)
        if isinstance(c, sp.Not):
            return not self.holds(c.args[0], here)
        left, right = (self.value(s, here) for s in (c.lhs, c.rhs))
        kinds = {
            sp.Eq: left == right, sp.Ne: left != right, sp.Gt: left > right,
            sp.Ge: left >= right, sp.Lt: left < right, sp.Le: left <= right,
        }  # fmt: skip
        return bool(kinds[type(c)])


def evaluate_one(at: _Evaluator, e: sp.Expr, here: dict) -> list:
    """A sum or maximum inside an expression."""
    term = Term(e.function, tuple(tuple(limit) for limit in e.limits))
    found = [at.value(term.body, inside) for inside in at.places(term, here)]
    if isinstance(e, Maximum):
        return [max(found, key=plain)]
    return [sum(found[1:], found[0]) if found else at.arithmetic.number(0)]


def gradients(
    equations: Sequence[Equation],
    values: Mapping[str, np.ndarray],
    sizes: Mapping[str, int],
    seeds: Mapping[str, np.ndarray],
    wanted: Sequence[str],
    settings: Mapping[str, float] | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(outputs named in seeds, gradients of ``sum of seed * output`` by what is wanted), by PyTorch, in float64."""
    import torch

    arithmetic = Arithmetic(torch, lambda x: torch.tensor(float(x), dtype=torch.float64))
    leaves = {}
    for name, array in values.items():
        integers = np.issubdtype(np.asarray(array).dtype, np.integer)
        leaves[name] = torch.tensor(np.asarray(array), dtype=None if integers else torch.float64)
        if name in wanted:
            leaves[name].requires_grad_()
    found = evaluate(equations, {k: components(v) for k, v in leaves.items()}, sizes, arithmetic, settings)
    total = sum(found[name][at] * float(seed[at]) for name, seed in seeds.items() for at in np.ndindex(seed.shape))
    slopes = torch.autograd.grad(total, [leaves[name] for name in wanted], allow_unused=True)
    outputs = {name: array_of(found[name], seed.shape) for name, seed in seeds.items()}
    return outputs, {
        name: np.zeros(leaves[name].shape) if slope is None else slope.numpy()
        for name, slope in zip(wanted, slopes, strict=True)
    }


def array_of(found: Mapping[tuple[int, ...], Any], shape: Sequence[int]) -> np.ndarray:
    """Components as an array of float64."""
    array = np.zeros(tuple(shape))
    for at in np.ndindex(tuple(shape)):
        array[at] = plain(found[at])
    return array


# Kernels, as the text they are ----------------------------------------------------------------------------------------


def contract(
    rows, columns, segments, length, a, a0, a_row, a_segment, a_step, b, b0, b_segment, b_step, b_lane, c, c0, c_row,
    scratch, bias=None, bias0=0,
):  # fmt: skip
    """What the engine promises, one multiplication at a time."""
    a, b, c = a.reshape(-1), b.reshape(-1), c.reshape(-1)
    for i, v in itertools.product(range(rows), range(columns)):
        total = 0.0 if bias is None else bias[bias0 + v]
        for s, t in itertools.product(range(segments), range(length)):
            p, q = a0 + i * a_row + s * a_segment + t * a_step, b0 + s * b_segment + t * b_step + v * b_lane
            assert p >= 0 and q >= 0
            total += a[p] * b[q]
        c[c0 + i * c_row + v] = total


class Strict(np.ndarray):
    """An array that takes no negative place: compiled kernels of unsigned or wrapping places would be wrong there."""

    def __getitem__(self, at):
        self._check(at)
        return super().__getitem__(at)

    def __setitem__(self, at, value):
        self._check(at)
        super().__setitem__(at, value)

    @staticmethod
    def _check(at) -> None:
        places = at if isinstance(at, tuple) else (at,)
        assert all(p >= 0 for p in places if isinstance(p, int | np.integer)), f"place {at} is out of range"


FUNCTIONS = {
    "exp": np.exp, "log": np.log, "tanh": np.tanh, "expm1": np.expm1, "log1p": np.log1p, "sqrt": np.sqrt,
    "contract": contract, "contract_bias": contract, "span": range, "sign": np.sign,
    **{name: getattr(np, name) for name in ("sin", "cos", "arctan", "arcsin", "arccos", "sinh", "cosh", "floor", "ceil")},
}  # fmt: skip


def functions_in(text: str) -> dict[str, Callable]:
    """The kernels of a generated module, to be run by Python itself."""
    tree = ast.parse(text)
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    scope = dict(FUNCTIONS)
    exec(compile(tree, "<generated>", "exec"), scope)
    return {node.name: scope[node.name] for node in tree.body}


def run_kernels(
    views: Sequence[dict],
    functions: Mapping[str, Callable],
    arrays: dict[str, np.ndarray],
    settings: Mapping[str, float] | None = None,
    pieces: int = 2,
) -> None:
    """Run kernels (as ``derive.generate`` describes them to templates) on arrays, each in several pieces."""
    for k in views:
        given = []
        for slot in k["slots"]:
            name, _, inside = slot.partition("[")
            if name == "scratch":
                given.append(None)
                continue
            array = arrays[name]
            axes = inside.rstrip("]").split(", ")
            array = array.reshape(-1) if len(axes) == 1 and array.ndim > 1 else array
            given.append(array.view(Strict))
        given += [float((settings or {})[s]) for s in k["scalars"]]
        extent = 1
        for slot, array in zip(k["slots"], given, strict=False):
            axes = slot.partition("[")[2].rstrip("]").split(", ")
            if k["split"] and k["split"] in axes:
                extent = array.shape[axes.index(k["split"])]
                break
        cuts = sorted({0, extent, *(extent * p // pieces for p in range(1, pieces))})
        for first, last in itertools.pairwise(cuts):
            with np.errstate(all="ignore"):
                functions[k["name"]](*given, first, last)
