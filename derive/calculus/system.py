"""A system of forward equations: what a definition makes, and what everything else is derived from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import sympy as sp

from derive.calculus.equation import Equation, Term, equations_for, size_of, tensor


class DefinitionError(ValueError):
    """A definition that cannot stand: says which system and tensor, and what would be right."""


@dataclass
class System:
    """Forward equations between tensors: a layer, an activation, a cost, a penalty or an update rule.

    ``inputs`` and ``outputs`` connect layers; ``parameters`` are learned; a cost also has ``targets``; ``constants`` are
    data that nothing is differentiated by, ``random`` tensors are drawn anew at every step, each component uniform in
    [0, 1). An update rule has a ``gradient`` and ``states`` and defines what is new as ``w_new``, ``v_new``; a layer may
    have states as well (running statistics). ``settings`` are scalars with their defaults (None: the user must say): real
    ones, integers such as a stride, or the size of an index that no tensor has. ``sizes`` (or settings) follow from other
    sizes and from settings, in whole numbers: ``I: (P - U) // stride + 1``. ``given`` are relations that are known to hold:
    an equation that the inputs satisfy, relations of sizes and settings. ``inference`` names the system that takes the place
    of this one outside of training, ``forms`` those that do where other inputs are given. ``source`` is the file and line
    of the definition.
    """

    name: str
    inputs: tuple[sp.Indexed, ...] = ()
    parameters: tuple[sp.Indexed, ...] = ()
    outputs: tuple[sp.Indexed, ...] = ()
    targets: tuple[sp.Indexed, ...] = ()
    constants: tuple[sp.Indexed, ...] = ()
    gradient: tuple[sp.Indexed, ...] = ()
    states: tuple[sp.Indexed, ...] = ()
    random: tuple[sp.Indexed, ...] = ()
    settings: dict[sp.Symbol, Any] = field(default_factory=dict)
    sizes: dict[sp.Symbol, sp.Expr] = field(default_factory=dict)
    given: tuple[sp.Basic, ...] = ()
    initial: dict[sp.IndexedBase, float] = field(default_factory=dict)
    inference: str = ""
    forms: tuple[str, ...] = ()
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

    @property
    def is_activation(self) -> bool:
        """Whether it treats every element of its one input by itself, and nothing else is given."""
        if len(self.inputs) != 1 or len(tuple(self._given_tensors())) != 1:
            return False
        index = self.inputs[0].indices
        read = {x.indices for e in self.equations for t in e.terms for x in (e.target, *t.operands())}
        return read == {index} and not any(t.over for e in self.equations for t in e.terms)

    def declared(self) -> dict[str, sp.Indexed]:
        """Every tensor by name with the indices that it was declared or defined with."""
        found = {x.base.name: x for x in (*self._given_tensors(), *self.outputs)}
        for equation in self.equations:
            found.setdefault(equation.name, equation.target)
        return found

    def specialised(self, values: Mapping[sp.Symbol, Any]) -> "System":
        """The same system with values for some of its settings: ``{stride: 1}``, or one size for another, ``{V: U}``.

        Raises DefinitionError for what is no setting.
        """
        unknown = sorted(str(s) for s in set(values) - set(self.settings))
        if unknown:
            known = ", ".join(s.name for s in self.settings) or "none"
            self._refuse(f"{', '.join(unknown)} is no setting; its settings are {known}")
        change = {s: sp.sympify(value) for s, value in values.items()}
        return replace(
            self,
            settings={s: default for s, default in self.settings.items() if s not in change},
            sizes={size: of.xreplace(change) for size, of in self.sizes.items()},
            given=tuple(g.xreplace(change) for g in self.given),
            equations=[e.map(change) for e in self.equations],
        )

    def _given_tensors(self) -> Iterable[sp.Indexed]:
        given = (*self.inputs, *self.parameters, *self.targets, *self.constants)
        return (*given, *self.gradient, *self.states, *self.random)

    @property
    def requirements(self) -> tuple[sp.Basic, ...]:
        """Those of the given relations that sizes and settings alone must satisfy."""
        return tuple(g for g in self.given if not g.atoms(sp.Indexed))

    @property
    def relations(self) -> dict[sp.Symbol, sp.Expr]:
        """What sizes follow from, and then what is given that they are equal to."""
        equal = {g.lhs: g.rhs for g in self.requirements if isinstance(g, sp.Eq) and g.lhs.is_Symbol}
        return {**self.sizes, **{size: of for size, of in equal.items() if size not in self.sizes}}

    @property
    def facts(self) -> list[sp.Eq]:
        """Those of the given relations that say what a sum of inputs is."""
        return [g for g in self.given if g not in self.requirements]  # type: ignore[misc]

    def __getattr__(self, name: str) -> "_Tensor":
        if name.startswith("__"):
            raise AttributeError(name)
        return _Tensor(self, tensor(name))

    def __enter__(self) -> "System":
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None:
            self.check()

    def check(self) -> None:
        """Raises DefinitionError, with the file and line, for what cannot stand."""
        known = {x.base.name for x in self._given_tensors()}
        for equation in self.equations:
            if equation.name in known:
                self._refuse(f"{equation.name} is given or defined twice; give each tensor one equation")
            for term in equation.terms:
                self._check_term(equation, term, known)
            known.add(equation.name)
        missing = [str(x) for x in self.outputs if x.base.name not in {e.name for e in self.equations}]
        if missing:
            self._refuse(f"no equation defines its output {', '.join(missing)}")
        if not self.equations:
            self._refuse("it has no equation; state one inside the `with` block")
        self._check_sizes()

    def _check_sizes(self) -> None:
        own = (e.target for e in self.equations)
        given, learned, made = (
            {size_of(i) for x in tensors for i in x.indices if isinstance(i, sp.Symbol)}
            for tensors in (self.inputs, self.parameters, own)
        )
        known = (given | learned | set(self.settings)) - set(self.sizes)
        for size, of in self.sizes.items():
            if size not in (learned | made) - given and not (size in self.settings and size.is_integer):
                self._refuse(f"sizes: {size} is neither the size of an index that no input has nor a setting")
            self._check_known(f"sizes: {size} needs", of, known)
            if not all(map(_is_whole, sp.preorder_traversal(_without_floors(of)))):
                self._refuse(f"sizes: {size} = {of} must be of whole numbers: +, -, *, ** and // alone")
            known.add(size)
        for relation in self.requirements:
            self._check_known("given:", relation, known | made)

    def _check_known(self, what: str, e: sp.Basic, known: set[sp.Symbol]) -> None:
        loose = sorted(s.name for s in e.free_symbols - known)
        if loose:
            self._refuse(f"{what} {', '.join(loose)}, which is no size of an input and no setting")

    def _check_term(self, equation: Equation, term: Term, known: set[str]) -> None:
        where = f"in the equation of {equation.target},"
        operands = term.body.atoms(sp.Indexed)
        unknown = sorted({x.base.name for x in operands} - known)
        if unknown:
            self._refuse(f"{where} {', '.join(unknown)} is read, which no input, parameter or earlier equation gives")
        places = [*(i for x in operands for i in x.indices), *term.conditions]
        inside = {s for i in places for s in i.free_symbols if s.is_Symbol and s.is_integer}
        bound = {*equation.target.indices, *(k for k, *_ in term.over), *self.settings}
        loose = sorted(s.name for s in inside - bound if s.name[:1].islower() and s.name not in known)
        if loose:
            self._refuse(f"{where} index {', '.join(loose)} is neither on the left side nor summed")

    def _refuse(self, what: str) -> None:
        raise DefinitionError(f"{self.source}: system {self.name!r}: {what}")


def _is_whole(part: sp.Basic) -> bool:
    """Whether a part of an expression makes whole numbers of whole numbers."""
    power = isinstance(part, sp.Pow) and part.exp.is_Integer and part.exp.is_positive
    return power or isinstance(part, sp.Add | sp.Mul | sp.Symbol | sp.Integer)


def _without_floors(e: sp.Expr) -> sp.Expr:
    """The expression with what stands above and below each `//` side by side."""
    return e.replace(sp.floor, lambda of: sp.Add(*sp.fraction(sp.together(of)), evaluate=False))


class _Tensor:
    """A tensor of a system: reading gives a component, assigning states its equation."""

    def __init__(self, owner: System, base: sp.IndexedBase) -> None:
        self._owner, self._base = owner, base

    def __getitem__(self, at: Any) -> sp.Indexed:
        return self._base[at]

    def __setitem__(self, at: Any, right: Any) -> None:
        self._owner.equations.extend(equations_for(self._base[at], right))
