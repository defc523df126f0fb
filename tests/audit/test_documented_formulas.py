"""Every formula of the fully-connected half of the note, as our document has it, gets the verdict it should."""

import pytest
from independent import holds

from derive.audit.audit import audit, citations, our_documents, verdicts_by_tag
from derive.audit.syntax.reader import read

(DOCUMENT,) = our_documents()

SQUARE = "the square of a vector is the sum of the squares of its components"
QUADRATIC = "C is the quadratic cost of line 44"
ENDS = "`in` is the activation at the weight's input, `out` the error at its output"
UPDATE = (
    "`=` assigns: its right side is the parameter's new value; the cost in an update is the mean over the mini-batch"
)

EXPECTED = [  # how the formula begins, the system it speaks of, the reading it needs
    (r"w_{ij}^{new} = w_{ij}^{old} -", "gradient_descent", None),
    ("Error =", "squared_error", SQUARE),
    (r"a_j^l = \sigma", "dense", None),
    (r"a^l = \sigma \left", "dense", None),
    (r"z_j^l = \sum_k", "dense", None),
    (r"\delta_j^l \equiv", "dense", None),
    (r"\delta_j^L = \frac", "dense", None),
    (r"C = \frac{1}{2}", "quadratic", None),
    (r"\delta_j^L = \frac", "dense", None),
    (r"(s \odot t)_j", None, None),
    (r"\begin{bmatrix}", "quadratic", QUADRATIC),
    (r"\delta^l = ((w", "dense", None),
    (r"\delta^{l-1} = ((w", "dense", None),
    (r"\frac{\partial C}{\partial b_j^l}", "dense", None),
    (r"\frac{\partial C}{\partial w_{jk}^l}", "dense", None),
    (r"\frac{\partial C}{\partial w} =", "dense", ENDS),
    (r"\delta^L = \nabla_a C", "dense", None),
    (r"\delta^{l-1} = \left(", "dense", None),
    (r"\frac{\partial C}{\partial b_j^l}", "dense", None),
    (r"\frac{\partial C}{\partial w_{jk}^l}", "dense", None),
    ("l = 2, 3,", "dense", None),
    ("z^l = w^l", "dense", None),
    (r"a^l = \sigma(z^l)", "dense", None),
    (r"\delta^L = \nabla_a C", "dense", None),
    ("l = L - 1,", "dense", None),
    (r"\delta^l = ((w", "dense", None),
    (r"\frac{\partial C}{\partial w_{jk}^l}", "dense", None),
    (r"\frac{\partial C}{\partial b_j^l}", "dense", None),
    ("l = 2, 3,", "dense", None),
    ("z^{x,l} = w^l", "dense", None),
    (r"\delta^{x,L} =", "dense", None),
    ("l = L - 1,", "dense", None),
    (r"\delta^{x,l} = ((w", "dense", None),
    ("l = L, L - 1,", "dense", None),
    (r"w^l \rightarrow", "gradient_descent", None),
    (r"b^l \rightarrow", "gradient_descent", None),
    ("b^l = b^l", "gradient_descent", UPDATE),
    ("w^l = w^l", "gradient_descent", UPDATE),
]


def whole_formulas():
    return [v for v in audit(DOCUMENT) if "/" not in v.id]


def test_the_document_holds_every_formula_in_its_order():
    found = whole_formulas()
    assert len(found) == len(EXPECTED)
    for verdict, (beginning, *_) in zip(found, EXPECTED, strict=True):
        assert verdict.latex.startswith(beginning)


def test_every_formula_is_true_for_all_sizes_under_the_reading_expected():
    for verdict, (_, system, reading) in zip(whole_formulas(), EXPECTED, strict=True):
        assert verdict.verdict == ("conditional" if reading else "proved"), verdict
        assert (verdict.system, verdict.scope, verdict.reading) == (system, "all sizes", reading)
        assert verdict.counterexample is verdict.correction is verdict.reason is None


def test_tags_name_formulas():
    tagged = verdicts_by_tag()
    assert {"FC-1", "FC-2", "FC-3", "FC-4; Conv-4", "FC-5; Conv-5"} <= set(tagged)
    assert tagged["FC-1"].verdict == tagged["FC-2"].verdict == tagged["FC-3"].verdict == "proved"


def test_tags_are_cited_for_the_equations_they_speak_of():
    assert citations("dense") == {
        "delta_a": [("FC-1", "proved", "all sizes")],
        "nabla_b": [("FC-2", "proved", "all sizes")],
        "nabla_w": [("FC-3", "proved", "all sizes")],
    }
    assert [tag for tag, *_ in citations("gradient_descent")["w_new"]] == ["FC-4; Conv-4", "FC-5; Conv-5"]
    assert "z" in citations("dense", untagged=True)


@pytest.mark.parametrize("verdict", [v for v in whole_formulas() if not v.latex.startswith("l =")], ids=lambda v: v.id)
def test_every_formula_holds_in_networks_of_numbers(verdict):
    latex = verdict.latex.split(r"\quad (\text")[0]
    cost = "squared_error" if "Error" in latex else "quadratic" if "y" in latex else "linear"
    assert read(latex)
    assert holds(latex, cost)
