"""Documents of other people: planted errors are found, nothing true is refuted, whatever the notation."""

from functools import cache
from pathlib import Path

import pytest

from derive.audit.audit import audit
from derive.audit.verdict import Verdict

DOCUMENTS = Path(__file__).parent / "documents"
PLANTED = {  # by the label of the formula; all others are true
    "rows.md": {
        "planted: slope": "the activation function in place of its derivative",
        "planted: transpose": "errors go down through the transpose",
        "planted: index": "the same, in components",
        "planted: order": "of a column convention, in a document of rows",
        "planted: layer": "the activation that leaves the weight",
        "planted: mean": "a sum over the mini-batch where the other updates have a mean",
        "planted: sign": "a step uphill",
    },
    "paper.tex": {
        "planted:weights": "the weights below instead of those above",
        "planted:sum": "a chain rule without its sum",
        "planted:turn": "the filter is not turned on the way back",
        "planted:turned error": "the error is turned where nothing should be",
        "planted:channels": "the filter's channels in the other order",
        "planted:unbiased": "a variance divided by m - 1",
        "planted:mean": "a mean over the batch where the shift has a sum",
        "planted:not normalised": "the weighted input where the normalised one belongs",
    },
    "steps.md": {
        "planted: rate": "a velocity without the learning rate, beside those with it",
        "planted: decay": "a pull without the learning rate",
        "planted: share": "a share of the row instead of the block",
        "planted: slope": "a sign in the logistic function's slope",
        "planted: twice": "the logistic function's slope once more than the cross-entropy leaves",
    },
}


@cache
def rows(name: str) -> list[Verdict]:
    """One verdict for each formula or, where several have a label each, for each of those."""
    verdicts = audit(DOCUMENTS / name)
    return [v for v in verdicts if not v.latex.startswith((r"\begin{align}", r"\begin{eqnarray}"))]


@pytest.mark.parametrize("name", PLANTED)
def test_the_planted_errors_are_found_and_nothing_else(name):
    verdicts = rows(name)
    assert {v.id for v in verdicts if v.verdict == "refuted"} == set(PLANTED[name])
    assert not [v for v in verdicts if v.verdict == "unread"]
    assert len(PLANTED[name]) >= 5
    assert sum(v.verdict in ("proved", "conditional") for v in verdicts) >= 10


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_true_is_true_for_all_sizes(name):
    assert {v.scope for v in rows(name) if v.verdict in ("proved", "conditional")} == {"all sizes"}
