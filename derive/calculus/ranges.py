"""What is known of indices and sizes: which conditions hold for all of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sympy as sp

from derive.calculus.equation import size_of


@dataclass(frozen=True)
class Inside:
    """What is known of indices: that they lie in their range, the ``natural`` ones all of it; of sizes, what they follow from.

    A remainder ``A mod c`` is like an index of the size c.
    """

    natural: Sequence[sp.Symbol]
    sizes: Mapping[sp.Symbol, sp.Expr]

    def open(
        self, conditions: Iterable[sp.Expr], summed: Iterable[sp.Symbol], given: Iterable[sp.Basic] = ()
    ) -> list[sp.Expr]:
        """Those of the conditions, each that something is >= 0, that neither this nor what is ``given`` says already."""
        conditions = list(conditions)
        remainders = {m for c in conditions for m in c.atoms(sp.Mod)}
        inner = [*self.natural, *remainders]
        lowest = {k: sp.Dummy(integer=True, nonnegative=True) for k in (*inner, *summed)}
        highest = {i: (i.args[1] if isinstance(i, sp.Mod) else size_of(i)) - 1 - lowest[i] for i in inner}
        facts = [lowest, *({**lowest, i: high} for i, high in highest.items()), lowest | highest]
        given = [g for g in given if isinstance(g, sp.Expr)]
        of_sizes = self._followed(), self._sources()

        def holds_always(c: sp.Expr) -> bool:
            found = (c.xreplace(fact) for fact in facts)
            forms = (sp.expand(f.xreplace(sizes)) for f in found for sizes in of_sizes)
            return any(form.is_nonnegative for form in forms) or any(sp.expand(c - g).is_nonnegative for g in given)

        return [c for c in conditions if not holds_always(c)]

    def _followed(self) -> dict[sp.Symbol, sp.Expr]:
        """What each size follows from, down to those that follow from nothing else, or from what follows from them."""
        found: dict[sp.Symbol, sp.Expr] = {}
        for size, of in self.sizes.items():
            found[size] = sp.sympify(of).xreplace(found)
        multiples = {size: of for size, of in found.items() if of.has(size)}
        return {size: of.xreplace(multiples) if size not in multiples else of for size, of in found.items()}

    def _sources(self) -> dict[sp.Symbol, sp.Expr]:
        """Of a size that is another and a number, ``K = E - 5``, that other one: ``E = K + 5``."""
        split = {size: sp.sympify(of).as_coeff_Add() for size, of in self.sizes.items()}
        return {other: size - number for size, (number, other) in split.items() if other.is_Symbol}
