"""What a section means where its notation leaves a choice: one answer to each question for all of its formulas.

Formulas that belong together are read alike. A section means what the field means where nothing else is said, unless
enough more of its formulas hold under another answer.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

from derive.audit.judging.judge import Outcome
from derive.audit.meaning.binding import World
from derive.audit.meaning.scripts import nodes
from derive.audit.meaning.vocabulary import SECTION
from derive.audit.syntax import formula as f

Agreed = tuple[tuple[str, str], ...]
SIGNS = {  # what only one kind of section writes
    "convolution": lambda n: isinstance(n, f.Application) and n.function == f.Name("rot180"),
    "batch_norm": lambda n: isinstance(n, f.Name) and n.text in ("hat z", "hat x"),
    "momentum": lambda n: isinstance(n, f.Scripted) and isinstance(n.base, f.Name) and n.base.text == "v",
    "logistic_cross_entropy": lambda n: (
        isinstance(n, f.Application) and n.function in (f.Name("log"), f.Name("ln"), f.Name("exp"))
    ),
}


def worlds(system: str | None, relations: Iterable[f.Relation]) -> Iterator[World]:
    """What a section may speak of: what its guide or heading says, else a dense network or what its signs tell."""
    if system is not None:
        yield World(system)
        return
    yield World()
    everything = [n for r in relations for n in nodes(r)]
    for name, sign in SIGNS.items():
        if any(map(sign, everything)):
            yield World(name)


def agreement(outcomes: Callable[[Agreed], list[Outcome]]) -> Agreed:
    """The answers under which most of a section's formulas hold, the field's own unless others have enough more."""
    agreed: Agreed = ()
    current = outcomes(agreed)
    for _ in SECTION:  # the most telling answer first
        failing = [o for o in current if not o.holds]
        questions = sorted({question for o in failing for question, _ in o.asked})
        best = most_telling(([q] for q in questions), agreed, current, outcomes)
        if best is None:  # no one answer helps: perhaps two together do
            best = most_telling(itertools.combinations(questions, 2), agreed, current, outcomes)
        if best is None:
            return agreed
        agreed, current = best
    return agreed


def most_telling(
    choices: Iterable[Sequence[str]],
    agreed: Agreed,
    current: list[Outcome],
    outcomes: Callable[[Agreed], list[Outcome]],
) -> tuple[Agreed, list[Outcome]] | None:
    """The other answers to one of these sets of questions that gain most, if they gain enough."""
    best: tuple[int, Agreed, list[Outcome]] | None = None
    given = dict(agreed)
    for questions in choices:
        needed = max(SECTION[q][1] for q in questions)
        others = [[a for a in SECTION[q][0] if a != given.get(q, SECTION[q][0][0])] for q in questions]
        for answers in itertools.product(*others):
            tried = tuple((given | dict(zip(questions, answers, strict=True))).items())
            found = outcomes(tried)
            gain = held(found) - held(current)
            if gain >= needed and (best is None or gain > best[0]):
                best = gain, tried, found
    return best[1:] if best else None


def held(outcomes: Iterable[Outcome]) -> int:
    return sum(o.holds for o in outcomes)
