"""C excerpts are claims: they say what the sensitivities of YOLOv3's output are.

In the order in which an excerpt passes through: `reading` parses it; `statements` and `expressions` execute it with
symbols for its numbers, whose names mean what `vocabulary` says. What depends on a condition is a choice (`choices`), and
`facts` is what one knows in a case of it. `cases` sets what is left in `delta` beside the derivative of `yolo_cost` by the
raw inputs of `yolo`, as the calculus derives it (`sensitivities`), and `comparison` compares them: a proof is exact algebra
for all sizes, a counterexample an instance in rational numbers. `judging` makes the claims, `printing` writes C and LaTeX.
`recovery` integrates what is left in `delta` to the cost that it is the negative gradient of; `account` tells it.

C is read as mathematics: an int is an integer, a float a real number, and neither overflows nor rounds. An unknown function
gives an unknown value and changes nothing; one that is handed `delta` is not read.
"""

from dataclasses import dataclass

from derive.audit.judging.counterexample import Counterexample


@dataclass(frozen=True)
class Claim:
    """The verdict on one statement, which stands at offset `at` of the excerpt as `source`.

    The other fields are those of the judge's outcomes. A correction is C; `steps` is the derivation as (heading, LaTeX).
    """

    verdict: str
    at: int
    source: str
    system: str | None = None
    scope: str | None = None
    reading: str | None = None
    counterexample: Counterexample | None = None
    correction: str | None = None
    reason: str | None = None
    steps: tuple[tuple[str, str], ...] = ()


def judge_excerpt(text: str) -> list[Claim]:
    """Judge every statement about `delta`, and the targets that are worked out for it, in the order of the excerpt.

    An excerpt that cannot be read is one claim, `unread`, with the reason and its line; nothing is raised.
    """
    from derive.audit.excerpt.judging import claims_of  # not before there is C to read: it needs pycparser and YOLO

    return claims_of(text)
