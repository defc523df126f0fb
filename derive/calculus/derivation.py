"""From a definition to what is generated: stable forward equations, and backward equations in closed form."""

from dataclasses import dataclass, replace

import sympy as sp

from derive.calculus.adjoint import adjoint, bar_name
from derive.calculus.check import check
from derive.calculus.equation import Equation, Term, tensor, tensors_of
from derive.calculus.simplify import closed_form, in_output, needed
from derive.calculus.stable import slopes_of_lengths, stable
from derive.calculus.statistics import in_one_pass
from derive.calculus.system import System


@dataclass(frozen=True)
class Derivation:
    """A system with everything that follows from it.

    ``defined`` are its equations as they stand, ``adjoints`` what reverse accumulation makes of them, ``closed`` those
    simplified; ``forward`` and ``backward`` are the stable forms that kernels are made from.
    """

    system: System
    defined: list[Equation]
    adjoints: list[Equation]
    closed: list[Equation]
    forward: list[Equation]
    backward: list[Equation]


def derive(system: System, objective: System | None = None) -> Derivation:
    """Derive the gradient of a system by its inputs and parameters; a cost's by way of the mean ``objective``.

    For a layer the sensitivities of its outputs are given. For a cost nothing is: the objective's own is one.
    Raises DefinitionError for a system that cannot stand.
    """
    check(system)
    decimals = {x: _named(x) for e in system.equations for t in e.terms for x in t.body.atoms(sp.Float)}
    own = replace(system, equations=[e.map(decimals) for e in system.equations])
    whole = compose(own, objective) if objective else own
    parameters = [p.base.name for p in system.parameters]
    ends = objective.outputs if objective else system.outputs
    adjoints = adjoint(
        whole.equations,
        {x.base.name for x in ends},
        declared=whole.declared(),
        parameters=parameters,
        slope_form=lambda e, slope: in_output(e.terms[0].body, slope, e.target) if _is_one_value(e) else slope,
        sizes=system.relations,
    )
    wanted = [x.base.name for x in (*system.inputs, *system.parameters)]
    fixed = {t.base.name for t in (*system.targets, *system.constants, *system.states, *system.random)}
    raw = [e for name, e in adjoints.items() if name not in fixed]
    if objective:
        one = {tensor(bar_name(x.base.name))[x.indices]: sp.Integer(1) for x in ends}
        raw = [e.map(one) for e in raw]
    closed = closed_form(own.equations, raw, {bar_name(name, parameters) for name in wanted}, system.facts)
    weights = {x.base.name for x in system.targets}
    careful = slopes_of_lengths(own.equations, closed)
    both = stable(in_one_pass([*(_logarithms_of_definitions(e, own) for e in own.equations), *careful]), weights)
    derived = {e.name for e in closed}
    backward = [e for e in both if e.name in derived]
    read = {name for e in backward for name in e.reads()} | {x.base.name for x in system.outputs}
    read |= {f"{x.base.name}_new" for x in system.states}
    forward = needed([e for e in both if e.name not in derived], read)
    back = {symbol.as_coeff_Mul()[1]: abs(x) for x, symbol in decimals.items()}
    stages = ([e.map(back) for e in stage] for stage in (raw, closed, forward, backward))
    return Derivation(system, list(system.equations), *stages)


def _named(decimal: sp.Float) -> sp.Expr:
    """A decimal as a constant of that name, which algebra leaves as it is written."""
    return sp.sign(decimal) * sp.Symbol(str(abs(float(decimal))), positive=True)


def _logarithms_of_definitions(equation: Equation, system: System) -> Equation:
    """Inside a logarithm, a tensor's own definition: ``log(1 / (1 + exp(-z)))`` has a stable form, ``log(a)`` has none."""
    known = {e.name: e for e in system.equations if e.name != equation.name and _is_product(e)}

    def open_up(argument: sp.Expr) -> sp.Expr:
        for x in tensors_of(argument):
            if x.base.name in known:
                source = known[x.base.name]
                body = source.terms[0].body.xreplace(dict(zip(source.target.indices, x.indices, strict=True)))
                argument = argument.xreplace({x: body})
        return sp.log(argument)

    return replace(equation, terms=tuple(replace(t, body=t.body.replace(sp.log, open_up)) for t in equation.terms))


def _is_product(equation: Equation) -> bool:
    """Whether a logarithm of the equation's right side can be taken apart: a quotient or product with exponentials."""
    return _is_one_value(equation) and isinstance(equation.terms[0].body, sp.Mul | sp.Pow)


def _is_one_value(equation: Equation) -> bool:
    """Whether each component of the target is one expression, without a sum or a condition."""
    return equation.kind == "sum" and len(equation.terms) == 1 and equation.terms[0] == Term(equation.terms[0].body)


def compose(first: System, second: System) -> System:
    """The system that feeds the last outputs of ``first`` to the inputs of ``second``, and has the outputs of both.

    Other names are kept apart.
    """
    if len(first.outputs) < len(second.inputs):
        raise ValueError(
            f"{first.name!r} gives {len(first.outputs)} outputs, {second.name!r} takes {len(second.inputs)}"
        )
    change: dict[sp.Basic, sp.Basic] = {}
    for x, y in zip(first.outputs[-len(second.inputs) :], second.inputs, strict=True):
        change[y.base] = x.base
        for mine, theirs in zip(x.indices, y.indices, strict=True):
            if mine != theirs:
                raise ValueError(f"{first.name!r} gives {x}, {second.name!r} takes {y}: index them alike")
    taken = set(first.declared())
    for name in second.declared():
        if tensor(name) not in change and name in taken:
            change[tensor(name)] = tensor(f"{name}_{second.name}")
    moved = [_rename(e, change) for e in second.equations]
    return replace(
        first,
        name=f"{first.name}_with_{second.name}",
        outputs=(*first.outputs, *(_rename_indexed(x, change) for x in second.outputs)),
        targets=(*first.targets, *second.targets),
        constants=(*first.constants, *second.constants),
        given=(*first.given, *second.given),
        settings={**first.settings, **second.settings},
        equations=[*first.equations, *moved],
        doc=f"{first.doc}\n{second.doc}",
    )


def chain(first: Derivation, second: Derivation) -> Derivation:
    """The derivation of the system that feeds the one output of ``first`` to the one input of ``second``.

    Each keeps its own closed form: what comes back through ``second`` goes on back through ``first``.
    """
    (y,), (x,) = first.system.outputs, second.system.inputs
    if len(x.indices) != len(y.indices):
        raise ValueError(f"{first.system.name!r} gives {y}, {second.system.name!r} takes {x}: indices do not fit")
    places: dict[sp.Basic, sp.Basic] = dict(zip(x.indices, y.indices, strict=True))
    taken = {name for e in (*first.forward, *first.backward) for name in (e.name, *e.reads())}
    names = {x.base.name: y.base.name, f"delta_{x.base.name}": f"delta_{y.base.name}"}

    def moved(e: Equation) -> Equation:
        change: dict[sp.Basic, sp.Basic] = {}
        for one in {e.target, *(o for t in e.terms for o in t.operands())}:
            name = one.base.name
            new = names.setdefault(name, f"{name}_{second.system.name}" if name in taken else name)
            change[one] = tensor(new)[tuple(i.xreplace(places) for i in one.indices)]
        return e.map(change).map(places)

    def both(mine: list[Equation], theirs: list[Equation]) -> list[Equation]:
        return [*mine, *map(moved, theirs)]

    forward, defined = both(first.forward, second.forward), both(first.defined, second.defined)
    (end,) = (moved(Equation(z, (Term(z),))).target for z in second.system.outputs)
    system = replace(
        first.system,
        name=f"{first.system.name}_{second.system.name}",
        outputs=(end,),
        settings={**first.system.settings, **second.system.settings},
        equations=defined,
        inference="",
        forms=(),
        doc=f"{first.system.doc}\n{second.system.doc}",
    )
    back = ([*map(moved, theirs), *mine] for theirs, mine in (
        (second.adjoints, first.adjoints), (second.closed, first.closed), (second.backward, first.backward)
    ))  # fmt: skip
    adjoints, closed, backward = back
    return Derivation(system, defined, adjoints, closed, forward, backward)


def _rename_indexed(x: sp.Indexed, change: dict) -> sp.Indexed:
    return change.get(x.base, x.base)[x.indices]


def _rename(equation: Equation, change: dict) -> Equation:
    places = {x: _rename_indexed(x, change) for t in equation.terms for x in t.body.atoms(sp.Indexed)}
    terms = tuple(Term(t.body.xreplace(places), t.over, t.conditions) for t in equation.terms)
    return replace(equation, target=_rename_indexed(equation.target, change), terms=terms)


def has_pole(derivation: Derivation, x: str) -> bool:
    """Whether in a derived tensor something is divided by a tensor, as in what a cross-entropy sends back."""
    bodies = [t.body for e in derivation.closed if e.name == x for t in e.terms]
    return any(p.exp.could_extract_minus_sign() and p.base.atoms(sp.Indexed) for b in bodies for p in b.atoms(sp.Pow))
