"""The notation that definitions are written in: indices, tensors, sums, cases, and the system that collects equations.

Index ``k`` runs over ``0 <= k < K``. The batch index comes first. A definition states forward equations only:

    with system("dense", inputs=[a[n, k]], parameters=[w[j, k], b[j]], outputs=[z[n, j]]) as dense:
        dense.z[n, j] = Sum(w[j, k] * a[n, k], k) + b[j]
"""

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import sympy as sp
from sympy import Eq, Max, Min, Rational, exp, log, sqrt, tanh

from derive.calculus.equation import Equation, Maximum, equations_for, size_of, tensor

__all__ = [
    "Abs",
    "Eq",
    "Max",
    "MaxOver",
    "Min",
    "Rational",
    "Sum",
    "System",
    "cases",
    "exp",
    "indices",
    "log",
    "otherwise",
    "scalars",
    "size_of",
    "sqrt",
    "system",
    "tanh",
    "tensors",
]

Abs = sp.Abs
otherwise = True


class DefinitionError(ValueError):
    """A definition that cannot stand: says which system and tensor, and what would be right."""


def indices(names: str) -> Any:
    """Integer indices from a string of names; index ``k`` has the size ``K``."""
    return sp.symbols(names, integer=True)


def tensors(names: str) -> Any:
    """Real tensors from a string of names; one name gives one tensor, several a tuple."""
    found = tuple(tensor(name) for name in names.replace(",", " ").split())
    return found if len(found) > 1 else found[0]


def scalars(names: str) -> Any:
    """Real settings (a learning rate, a slope) from a string of names."""
    return sp.symbols(names, real=True)


def Sum(body: Any, *over: Any) -> sp.Expr:
    """The sum of ``body`` over indices, each given as ``k`` (to its own size) or ``(k, size)``."""
    return sp.Sum(body, *_limits(over))


def MaxOver(body: Any, *over: Any) -> sp.Expr:
    """The maximum of ``body`` over indices, given as in :func:`Sum`."""
    return Maximum(body, *_limits(over))


def _limits(over: Iterable[Any]) -> list[tuple[sp.Symbol, int, sp.Expr]]:
    pairs = [(k, size_of(k)) if isinstance(k, sp.Symbol) else k for k in over]
    return [(k, 0, size - 1) for k, size in pairs]


def cases(*branches: tuple[Any, Any]) -> sp.Expr:
    """``cases((value, condition), ..., (value, otherwise))``: the value of the first condition that holds."""
    return sp.Piecewise(*branches, evaluate=False)


@dataclass
class System:
    """Forward equations between tensors: a layer, an activation, a cost, a penalty or an update rule.

    ``inputs`` and ``outputs`` connect layers; ``parameters`` are learned; a cost also has ``targets``; an update rule has
    a ``gradient`` and ``states`` and defines what is new as ``w_new``, ``v_new``. ``settings`` are scalars with their
    defaults (None: the user must say). ``given`` are equations that the inputs are known to satisfy.
    """

    name: str
    inputs: tuple[sp.Indexed, ...] = ()
    parameters: tuple[sp.Indexed, ...] = ()
    outputs: tuple[sp.Indexed, ...] = ()
    targets: tuple[sp.Indexed, ...] = ()
    gradient: tuple[sp.Indexed, ...] = ()
    states: tuple[sp.Indexed, ...] = ()
    settings: dict[sp.Symbol, Any] = field(default_factory=dict)
    given: tuple[sp.Eq, ...] = ()
    initial: dict[sp.IndexedBase, float] = field(default_factory=dict)
    equations: list[Equation] = field(default_factory=list)
    doc: str = ""
    source: str = ""

    @property
    def kind(self) -> str:
        """``layer``, ``cost``, ``penalty`` or ``rule``."""
        if self.gradient:
            return "rule"
        if self.targets:
            return "cost"
        return "layer" if self.inputs else "penalty"

    def declared(self) -> dict[str, sp.Indexed]:
        """Every tensor by name with the indices that it was declared or defined with."""
        groups = (self.inputs, self.parameters, self.targets, self.gradient, self.states, self.outputs)
        found = {x.base.name: x for group in groups for x in group}
        for equation in self.equations:
            found.setdefault(equation.name, equation.target)
        return found

    def __getattr__(self, name: str) -> "_Tensor":
        if name.startswith("__"):
            raise AttributeError(name)
        return _Tensor(self, tensor(name))

    def __enter__(self) -> "System":
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None:
            self._check()

    def _check(self) -> None:
        known = {x.base.name for g in (self.inputs, self.parameters, self.targets, self.gradient, self.states) for x in g}
        where = f"{self.source}: system {self.name!r}"
        for equation in self.equations:
            if equation.name in known:
                raise DefinitionError(f"{where}: {equation.name} is given or defined twice; give each tensor one equation")
            summed = {k for t in equation.terms for k, *_ in t.over}
            for term in equation.terms:
                unknown = sorted({x.base.name for x in term.body.atoms(sp.Indexed)} - known)
                if unknown:
                    raise DefinitionError(
                        f"{where}: the equation of {equation.target} reads {', '.join(unknown)}, which no input, parameter "
                        "or earlier equation gives"
                    )
                inside = {s for x in term.body.atoms(sp.Indexed) for i in x.indices for s in i.free_symbols if s.is_Symbol}
                loose = {s for s in inside if s.name[:1].islower() and s.is_integer} - set(equation.target.indices) - summed
                loose -= set(self.settings) | {s for s in loose if isinstance(s, sp.Indexed)}
                loose = {s for s in loose if s.name not in known}
                if loose:
                    names = ", ".join(sorted(map(str, loose)))
                    raise DefinitionError(
                        f"{where}: in the equation of {equation.target}, index {names} is neither on the left side nor summed"
                    )
            known.add(equation.name)
        missing = [str(x) for x in self.outputs if x.base.name not in {e.name for e in self.equations}]
        if missing:
            raise DefinitionError(f"{where}: no equation defines its output {', '.join(missing)}")
        if not self.equations:
            raise DefinitionError(f"{where} has no equation")


class _Tensor:
    """A tensor of a system: reading gives a component, assigning states its equation."""

    def __init__(self, owner: System, base: sp.IndexedBase) -> None:
        self._owner, self._base = owner, base

    def __getitem__(self, at: Any) -> sp.Indexed:
        return self._base[at]

    def __setitem__(self, at: Any, right: Any) -> None:
        self._owner.equations.extend(equations_for(self._base[at], right))


def system(
    name: str,
    *,
    inputs: Iterable[sp.Indexed] = (),
    parameters: Iterable[sp.Indexed] = (),
    outputs: Iterable[sp.Indexed] = (),
    targets: Iterable[sp.Indexed] = (),
    gradient: Iterable[sp.Indexed] = (),
    states: Iterable[sp.Indexed] = (),
    settings: dict[sp.Symbol, Any] | None = None,
    given: Iterable[sp.Eq] = (),
    initial: dict[sp.IndexedBase, float] | None = None,
) -> System:
    """Begin a definition; its equations are stated inside the ``with`` block. See :class:`System` for the roles.

    Raises DefinitionError when the block ends if an equation reads an unknown tensor, leaves an index loose, or an output
    has no equation.
    """
    caller = inspect.stack()[1]
    doc = inspect.cleandoc(caller.frame.f_globals.get("__doc__") or "")
    groups = map(tuple, (inputs, parameters, outputs, targets, gradient, states))
    return System(
        name, *groups, dict(settings or {}), tuple(given), dict(initial or {}), [], doc, f"{caller.filename}:{caller.lineno}"
    )


def systems_in(namespace: dict[str, Any]) -> Iterator[System]:
    """The systems that a definition file makes, in its order."""
    for value in namespace.values():
        if isinstance(value, System):
            yield value
