"""The notation that definitions are written in: indices, tensors, sums, cases, and the system that collects equations.

Index ``k`` runs over ``0 <= k < K``. The batch index comes first. A definition states forward equations only:

    with system("dense", inputs=[a[n, k]], parameters=[w[j, k], b[j]], outputs=[z[n, j]]) as dense:
        dense.z[n, j] = Sum(w[j, k] * a[n, k], k) + b[j]
"""

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

import sympy as sp
from sympy import Eq, Max, Min, Rational, erf, exp, floor, log, sqrt, tanh

from derive.calculus.equation import Maximum, size_of, tensor
from derive.calculus.system import DefinitionError, System

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
    "counts",
    "erf",
    "exp",
    "floor",
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


def counts(names: str, *, least: int = 0) -> Any:
    """Integer settings (a stride, a padding) from a string of names, none below ``least``, which is 0 or 1."""
    return sp.symbols(names, integer=True, **{"positive" if least else "nonnegative": True})


def Sum(body: Any, *over: Any) -> sp.Expr:
    """The sum of ``body`` over indices, each given as ``k`` (to its own size) or ``(k, size)``."""
    return sp.Sum(body, *_limits(over))


def MaxOver(body: Any, *over: Any, where: Iterable[Any] = ()) -> sp.Expr:
    """The maximum of ``body`` over indices, given as in :func:`Sum`, and there only where all relations ``where`` hold."""
    condition = sp.And(*where)
    chosen = body if condition == True else cases((body, condition), (-sp.oo, otherwise))  # noqa: E712
    return Maximum(chosen, *_limits(over))


def _limits(over: Iterable[Any]) -> list[tuple[sp.Symbol, int, sp.Expr]]:
    pairs = [(k, size_of(k)) if isinstance(k, sp.Symbol) else k for k in over]
    return [(k, 0, size - 1) for k, size in pairs]


def cases(*branches: tuple[Any, Any]) -> sp.Expr:
    """``cases((value, condition), ..., (value, otherwise))``: the value of the first condition that holds."""
    return sp.Piecewise(*branches, evaluate=False)


def system(
    name: str,
    *,
    inputs: Iterable[sp.Indexed] = (),
    parameters: Iterable[sp.Indexed] = (),
    outputs: Iterable[sp.Indexed] = (),
    targets: Iterable[sp.Indexed] = (),
    constants: Iterable[sp.Indexed] = (),
    gradient: Iterable[sp.Indexed] = (),
    states: Iterable[sp.Indexed] = (),
    settings: dict[sp.Symbol, Any] | None = None,
    sizes: dict[sp.Symbol, sp.Expr] | None = None,
    given: Iterable[sp.Eq] = (),
    initial: dict[sp.IndexedBase, float] | None = None,
) -> System:
    """Begin a definition; its equations are stated inside the ``with`` block. See :class:`System` for the roles.

    Raises DefinitionError when the block ends if an equation reads an unknown tensor, leaves an index loose, or an
    output has no equation.
    """
    caller = inspect.stack()[1]
    doc, source = inspect.cleandoc(caller.frame.f_globals.get("__doc__") or ""), f"{caller.filename}:{caller.lineno}"
    return System(
        name,
        inputs=_components("inputs", inputs, source),
        parameters=_components("parameters", parameters, source),
        outputs=_components("outputs", outputs, source),
        targets=_components("targets", targets, source),
        constants=_components("constants", constants, source),
        gradient=_components("gradient", gradient, source),
        states=_components("states", states, source),
        settings=dict(settings or {}),
        sizes={size: sp.sympify(of) for size, of in (sizes or {}).items()},
        given=tuple(given),
        initial=dict(initial or {}),
        doc=doc,
        source=source,
    )


def _components(role: str, given: Any, source: str) -> tuple[sp.Indexed, ...]:
    if not isinstance(given, list | tuple) or not all(isinstance(x, sp.Indexed) for x in given):
        raise DefinitionError(f"{source}: {role} must be a list of components, as [z[n, j]], not {given}")
    return tuple(given)


def systems_in(namespace: dict[str, Any]) -> Iterator[System]:
    """The systems that a definition file makes, in its order."""
    for value in namespace.values():
        if isinstance(value, System):
            yield value
