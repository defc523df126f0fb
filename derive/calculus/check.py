"""What must be true of a system before anything is derived from it."""

import sympy as sp

from derive.calculus.equation import size_of
from derive.calculus.system import DefinitionError, System


def check(system: System) -> None:
    """Raises DefinitionError for a system whose names or places cannot be right: says which, and what would be."""

    def wrong(said: str) -> DefinitionError:
        return DefinitionError(f"{system.source}: system {system.name!r}: {said}")

    declared = system.declared()
    indices = {i for x in declared.values() for i in x.indices if isinstance(i, sp.Symbol)}
    indices |= {k for e in system.equations for t in e.terms for k, *_ in t.over}
    for name in sorted({i.name for i in indices} & (set(declared) | {s.name for s in system.settings})):
        raise wrong(f"{name!r} is an index and something else as well; give each a name of its own")
    for i in sorted(indices, key=str):
        if not i.is_integer or not i.name[:1].islower():
            raise wrong(
                f"{i} is not an index; make indices with indices(...), in lower case: an upper-case letter is a size"
            )
    for e in system.equations:
        for x in (e.target, *sorted((x for t in e.terms for x in t.operands()), key=str)):
            own = declared.get(x.base.name, x)
            if len(x.indices) != len(own.indices):
                raise wrong(f"the equation of {e.target} reads {x}, but {own} has {len(own.indices)} indices")
        own = declared[e.name]
        for i, o in zip(e.target.indices, own.indices, strict=True):
            if isinstance(i, sp.Symbol) != isinstance(o, sp.Symbol) or (i.is_Symbol and size_of(i) != size_of(o)):
                raise wrong(
                    f"{e.target} stands on the left side, but {own} was declared; the sizes of {i} and {o} differ"
                )
        if len(set(e.target.indices)) < len(e.target.indices) or not all(
            i.is_Symbol or i == 0 for i in e.target.indices
        ):
            raise wrong(f"{e.target} cannot stand on a left side; give it different plain indices")
