"""Every formula of the note, as our document has it, gets the verdict it should; the independent checker agrees."""

import re
from functools import cache

import pytest
from independent import DIFFERENT, EQUAL, Section
from independent_batch import BatchSection
from independent_layers import DenseSection
from independent_planes import PlaneSection
from independent_scalars import OutputSection, RuleSection
from mutation import relations

from derive.audit.audit import citations, our_documents, our_verdicts, verdicts_by_tag
from derive.audit.source.document import Formula, read_document
from derive.audit.verdict import Verdict

(DOCUMENT,) = our_documents()
BELOW = {"below": "by the activation"}

TRUE, REFUTED = "proved", "refuted"  # a reading, or a part of one, in place of a verdict: true under it
ROWS = "vectors are rows"
ASSIGNS = "`=` assigns"
CORRELATION = "the cross-correlation"
FEATURES = "each feature by itself"
PROBABILITY = "the output is the probability of class 1"
CASE = "a case"
MINUS = "minus the derivative"

EXPECTED = [  # how the formula begins, the system it speaks of, its verdict
    (r"w_{ij}^{new} = w_{ij}^{old} -", "gradient_descent", TRUE),
    ("Error =", "squared_error", "the square of a vector"),
    (r"a_j^l = \sigma", "dense", TRUE),
    (r"a^l = \sigma \left", "dense", TRUE),
    (r"z_j^l = \sum_k", "dense", TRUE),
    (r"\delta_j^l \equiv", "dense", TRUE),
    (r"\delta_j^L = \frac", "dense", TRUE),
    (r"C = \frac{1}{2}", "quadratic", TRUE),
    (r"\delta_j^L = \frac", "dense", TRUE),
    (r"(s \odot t)_j", None, TRUE),
    (r"\begin{bmatrix}", "quadratic", "C is the quadratic cost of line 44"),
    (r"\delta^l = ((w", "dense", TRUE),
    (r"\delta^{l-1} = ((w", "dense", TRUE),
    (r"\frac{\partial C}{\partial b_j^l}", "dense", TRUE),
    (r"\frac{\partial C}{\partial w_{jk}^l}", "dense", TRUE),
    (r"\frac{\partial C}{\partial w} =", "dense", "`in` is the activation at the weight's input"),
    (r"\delta^L = \nabla_a C", "dense", TRUE),
    (r"\delta^{l-1} = \left(", "dense", TRUE),
    (r"\frac{\partial C}{\partial b_j^l}", "dense", TRUE),
    (r"\frac{\partial C}{\partial w_{jk}^l}", "dense", TRUE),
    ("l = 2, 3,", "dense", TRUE),
    ("z^l = w^l", "dense", TRUE),
    (r"a^l = \sigma(z^l)", "dense", TRUE),
    (r"\delta^L = \nabla_a C", "dense", TRUE),
    ("l = L - 1,", "dense", TRUE),
    (r"\delta^l = ((w", "dense", TRUE),
    (r"\frac{\partial C}{\partial w_{jk}^l}", "dense", TRUE),
    (r"\frac{\partial C}{\partial b_j^l}", "dense", TRUE),
    ("l = 2, 3,", "dense", TRUE),
    ("z^{x,l} = w^l", "dense", TRUE),
    (r"\delta^{x,L} =", "dense", TRUE),
    ("l = L - 1,", "dense", TRUE),
    (r"\delta^{x,l} = ((w", "dense", TRUE),
    ("l = L, L - 1,", "dense", TRUE),
    (r"w^l \rightarrow", "gradient_descent", TRUE),
    (r"b^l \rightarrow", "gradient_descent", TRUE),
    (r"\delta^{l-1} = \delta^l * \text{rot}180", "convolution", CORRELATION),
    (r"\frac{\partial C}{\partial b^l} = \sum_{u,v} \delta_{w,h}", "convolution", REFUTED),
    (r"\frac{\partial C}{\partial w^l} = a^{l-1} * \delta^l", "convolution", CORRELATION),
    (r"b^l = b^l -", "gradient_descent", ASSIGNS),
    (r"w^l = w^l -", "gradient_descent", ASSIGNS),
    (r"\begin{bmatrix} \delta_{1,1} & \delta_{1,2} \\", "convolution", REFUTED),
    (r"\begin{bmatrix} W_{2,2}", "convolution", TRUE),
    (r"\begin{bmatrix} \delta_{1,1} & \delta_{1,2} & \delta_{1,3} \\", "convolution", CORRELATION),
    (r"\delta_{s (i-1) + u, s (j-1) + v}^{l-1} = \begin{cases}", "max_pooling", "the windows are as far apart"),
    (r"\delta_{s (i-1) + u, s (j-1) + v}^{l-1} = \frac", "average_pooling", "the windows are as far apart"),
    (r"delta^{l-1} = \delta^l \frac", "dense", ROWS),
    (r"\delta^{l-1} = delta^{l-1} \odot", "dense", "`delta`, upright"),
    (r"w = w - \alpha \nabla C", "gradient_descent", ASSIGNS),
    (r"v_t = \gamma v_{t-1}", "momentum", REFUTED),
    (r"w = w - v_t - \alpha", "momentum", "momentum's share of the step"),
    (r"w = w - \frac{\lambda}{m} w", "weight_decay", REFUTED),
    (r"\begin{aligned} \frac{\partial C}{\partial (\sigma_B^2)^l} &=", "batch_norm", FEATURES),
    (r"\frac{\partial C}{\partial \mu_B^l} =", "batch_norm", REFUTED),
    (r"\begin{aligned} \sum_{i=1}^m", "batch_norm", FEATURES),
    (r"\begin{aligned} \delta_i^l &=", "batch_norm", REFUTED),
    (r"\frac{\partial C}{\partial w^l} = \sum_{i=1}^m", "batch_norm", ROWS),
    (r"\begin{aligned} \frac{\partial C}{\partial \beta^l} &=", "batch_norm", FEATURES),
    (r"\frac{\partial C}{\partial \gamma^l} =", "batch_norm", FEATURES),
    (r"\sigma(z) = \frac", "logistic_cross_entropy", TRUE),
    (r"P(t = \mathbf{1} \mid z) = \sigma(z) = \frac", "logistic", PROBABILITY),
    (r"P(t = \mathbf{1} \mid z) = \sigma(z) = y", "logistic", PROBABILITY),
    (r"\xi(t, y) =", "logistic_cross_entropy", TRUE),
    (r"\frac{\partial \xi}{\partial z} =", "logistic", TRUE),
    ("delta[index + stride*n] =", "yolo_cost", MINUS),
    ("t=1", "logistic_cross_entropy", CASE),
    (r"\text{delta} =", "logistic_cross_entropy", MINUS),
    ("t=0", "logistic_cross_entropy", CASE),
    (r"\text{delta} =", "logistic_cross_entropy", MINUS),
    ("float delta_yolo_box", "yolo_cost", MINUS),
    ("void delta_yolo_class", "yolo_cost", MINUS),
    ("l.delta[obj_index] =", "yolo_cost", MINUS),
]
WRONG_LINES = {"eq-228/1", "eq-228/2", "BN 2.3/4", "BN 2.3/5"}  # what follows a wrong line is not equal to it either
OF_SOME_SIZES = {  # and why: a figure has the rows and columns that are drawn
    "figure filter": "a filter of two by two",
    "figure backward": "a filter of two by two, an error of two by two",
}


@cache
def verdicts() -> dict[str, Verdict]:
    """By id, in the document's order; of a formula in several parts, its own before theirs."""
    return {v.id: v for v, _ in our_verdicts()}


@cache
def formulas() -> dict[str, Formula]:
    return {formula.id: formula for formula in read_document(DOCUMENT)}


def whole_formulas() -> list[Verdict]:
    return [verdicts()[name] for name in formulas()]


def test_the_document_holds_every_formula_of_the_note_in_its_order():
    assert len(formulas()) == len(EXPECTED) == 72
    for formula, (beginning, *_) in zip(formulas().values(), EXPECTED, strict=True):
        assert " ".join(formula.latex.split()).startswith(beginning)


def test_every_formula_has_the_verdict_it_should():
    for verdict, (_, system, expected) in zip(whole_formulas(), EXPECTED, strict=True):
        assert verdict.system == system, verdict
        if expected == REFUTED:
            assert verdict.verdict == "refuted" and verdict.counterexample, verdict
            continue
        assert verdict.verdict == ("proved" if expected == TRUE else "conditional"), verdict
        assert expected == TRUE or expected in (verdict.reading or ""), verdict
        assert verdict.counterexample is verdict.correction is verdict.reason is None, verdict


def test_no_formula_is_unread():
    assert not [v for v in verdicts().values() if v.verdict == "unread"]


def test_hardly_a_verdict_rests_on_concrete_sizes():
    holding = [v for v in whole_formulas() if v.verdict in ("proved", "conditional")]
    concrete = {v.id for v in holding if v.scope != "all sizes"}
    assert concrete == set(OF_SOME_SIZES)
    assert len(concrete) <= 0.05 * len(EXPECTED)


def test_only_the_wrong_lines_of_a_derivation_are_refuted():
    refuted = {v.id for v in verdicts().values() if v.verdict == "refuted"}
    wholes = {v.id for v, (*_, expected) in zip(whole_formulas(), EXPECTED, strict=True) if expected == REFUTED}
    assert refuted == wholes | WRONG_LINES


def test_what_is_refuted_is_what_the_document_marks_as_wrong():
    assert {v.id for v in whole_formulas() if v.verdict == "refuted"} == {
        f.id for f in formulas().values() if f.erratum
    }


def test_tags_name_formulas():
    tagged = verdicts_by_tag()
    assert {"FC-1", "FC-2", "FC-3", "FC-4; Conv-4", "FC-5; Conv-5"} <= set(tagged)
    assert tagged["FC-1"].verdict == tagged["FC-2"].verdict == tagged["FC-3"].verdict == "proved"


def test_tags_are_cited_for_the_equations_they_speak_of():
    cited = citations("dense")
    assert cited["delta_a"][0] == ("FC-1", "proved", "all sizes")
    assert cited["nabla_b"] == [("FC-2", "proved", "all sizes")]
    assert cited["nabla_w"][0] == ("FC-3", "proved", "all sizes")
    assert [tag for tag, *_ in citations("gradient_descent")["w_new"]][:2] == ["FC-4; Conv-4", "FC-5; Conv-5"]
    assert "z" in citations("dense", untagged=True)


# -- what the independent checker says ------------------------------------------------------------------------------


def section(formula: Formula, target: int | None) -> Section:
    """How the formula's part of the document is to be read."""
    cost = "squared_error" if "Error" in formula.latex else "quadratic" if "y" in formula.latex else "linear"
    kind = formula.section.system
    if kind in ("convolution", "max_pooling", "average_pooling"):
        return PlaneSection(kind, figure="yes", **BELOW)
    if formula.section.title == "Two steps through a layer":
        return DenseSection(vectors="rows")
    if kind == "logistic_cross_entropy":
        return OutputSection(target)
    return {"dense": DenseSection(cost), "momentum": RuleSection("last step"), "batch_norm": BatchSection()}[kind or ""]


def mathematics() -> list[tuple[Formula, int | None]]:
    """Formulas of numbers, each with the target in the case that stands before it."""
    found, target = [], None
    for formula in formulas().values():
        if m := re.fullmatch(r"t=([01])", formula.latex):
            target = int(m[1])
        elif formula.kind == "formula" and not re.match(r"l = .*\\dots", formula.latex):
            found.append((formula, target))
    return found


def test_every_formula_is_there_for_the_checker():
    assert len(mathematics()) == 72 - 4 - 5 - 2  # excerpts of C; ranges of layers; cases


@pytest.mark.parametrize(("formula", "target"), mathematics(), ids=lambda each: getattr(each, "id", ""))
def test_the_checker_agrees(formula, target):
    checker, found = section(formula, target), relations(formula.source)
    parts = [verdicts()[formula.id]]
    if len(found) > 1:
        parts = [verdicts()[f"{formula.id}/{n + 1}"] for n in range(len(found))]
    for relation, part in zip(found, parts, strict=True):
        assert checker.settle(relation) == (DIFFERENT if part.verdict == "refuted" else EQUAL), part
        if part.verdict == "refuted":
            assert checker.replay(relation, part.counterexample), part
