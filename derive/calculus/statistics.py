"""Means and variances over samples from one pass over them, without cancellation: a form equal for every size.

With a first sample ``x0`` taken from every other, ``d`` the mean of ``x - x0`` and M samples:

    mu = x0 + d        x - mu = (x - x0) - d        sum (x - mu)^2 = sum (x - x0)^2 - M d^2

So a mean and the squares about it need not wait for each other. What cancels in the last difference is at most M + 1 times
what is left, because x0 is itself a sample; ``x - x0`` is exact where samples lie close to each other, however far from 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import sympy as sp

from derive.calculus.equation import Equation, Term, size_of, tensor, tensors_of


@dataclass(frozen=True)
class _Mean:
    """``mu = sum of x over samples / their number``, and the tensors that take its place."""

    equation: Equation
    x: sp.Indexed

    @property
    def mu(self) -> sp.Indexed:
        return self.equation.target

    @property
    def first(self) -> sp.Indexed:
        return tensor(f"{self.x.base.name}_first")[self.mu.indices]

    @property
    def shifted(self) -> sp.Indexed:
        return tensor(f"{self.mu.base.name}_shifted")[self.mu.indices]

    @property
    def samples(self) -> dict[sp.Symbol, sp.Expr]:
        """The indices that are summed over, and their sizes."""
        return {k: size_of(k) for k, *_ in self.equation.terms[0].over}

    def definitions(self) -> list[Equation]:
        """The first sample, the mean of what the others differ by, and the mean itself."""
        (term,) = self.equation.terms
        difference = replace(term, body=term.body / self.x * (self.x - self.first))
        return [
            Equation(self.first, (Term(self.x.xreplace(dict.fromkeys(self.samples, sp.Integer(0)))),)),
            Equation(self.shifted, (difference,)),
            Equation(self.mu, (Term(self.first + self.shifted),)),
        ]

    def put_into(self, equation: Equation) -> Equation:
        """The equation without differences from the mean."""
        terms: list[Term] = []
        for t in equation.terms:
            outside = t.body / (self.x - self.mu) ** 2
            if self._sums_all(t) and not outside.has(*self.samples):
                terms.append(replace(t, body=(self.x - self.first) ** 2 * outside))
                terms.append(Term(-sp.Mul(*self.samples.values(), outside, self.shifted**2)))
            else:
                terms.append(replace(t, body=self._recentred(t.body)))
        return replace(equation, terms=tuple(terms))

    def _sums_all(self, term: Term) -> bool:
        return term.over == self.equation.terms[0].over and not term.conditions

    def _recentred(self, body: sp.Expr) -> sp.Expr:
        """``x - mu`` as ``(x - x0) - d``, wherever it stands and at whatever index."""

        def moved(e: sp.Add) -> sp.Expr:
            for mu in (a for a in tensors_of(e) if a.base == self.mu.base and e.coeff(a) == -1):
                at = dict(zip(self.mu.indices, mu.indices, strict=True))
                for x in (a for a in e.args if isinstance(a, sp.Indexed) and a.base == self.x.base):
                    own = zip(self.x.indices, x.indices, strict=True)
                    if all(at.get(i, place) == place for i, place in own):
                        first, shifted = self.first.xreplace(at), self.shifted.xreplace(at)
                        return e - x + mu + sp.UnevaluatedExpr(x - first) - shifted
            return e

        return body.replace(lambda e: isinstance(e, sp.Add), moved)


def in_one_pass(equations: Sequence[Equation]) -> list[Equation]:
    """Equations equal to ``equations`` in which no sum over samples waits for a mean over the same samples."""
    result = list(equations)
    for found in filter(None, map(_mean, equations)):
        at = next(n for n, e in enumerate(result) if e.name == found.mu.base.name)
        rewritten = [found.put_into(e) for e in result[at + 1 :]]
        if rewritten != result[at + 1 :]:
            result[at:] = [*found.definitions(), *rewritten]
    return result


def _mean(equation: Equation) -> _Mean | None:
    """The equation as a mean over samples: over the first index, at least, of what it is the mean of."""
    if equation.kind != "sum" or len(equation.terms) != 1 or equation.terms[0].conditions:
        return None
    (term,) = equation.terms
    summed = [k for k, *_ in term.over]
    operands = tensors_of(term.body)
    if len(operands) != 1 or any((low, high) != (0, size_of(k) - 1) for k, low, high in term.over):
        return None
    (x,) = operands
    kept = [i for i in x.indices if i not in summed]
    if x.indices[0] not in summed or len(kept) + len(summed) != len(x.indices) or kept != list(equation.target.indices):
        return None
    return _Mean(equation, x) if term.body == x / sp.Mul(*map(size_of, summed)) else None
