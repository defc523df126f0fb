"""What is true and what is false of convolution, pooling, batch normalisation, update rules and one logistic output."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derive.audit.audit import our_documents
from derive.audit.judging.agreement import worlds
from derive.audit.judging.judge import Context, judge
from derive.audit.meaning.binding import World
from derive.audit.source.document import read_document
from derive.audit.syntax.formula import Clause
from derive.audit.syntax.reader import Unreadable, read
from derive.audit.verdict import WORST_FIRST


def outcome(system, latex, agreed=(), target=None):
    (clause,) = read(latex)
    (relation,) = clause.relations
    return judge(relation, Context(world=World(system, target), agreed=tuple(agreed)))


CONVOLUTION = [
    (r"z^l = a^{l-1} * w^l + b^l", True),
    (r"z^l = w^l * a^{l-1} + b^l", True),
    (r"z_{ij}^l = \sum_{u,v} w_{uv}^l a_{i+u-1,j+v-1}^{l-1} + b^l", True),
    (r"z_{ij}^l = \sum_{u,v} w_{uv}^l a_{i+u,j+v-1}^{l-1} + b^l", False),
    (r"z_{ij}^l = \sum_{u,v} w_{vu}^l a_{i+u-1,j+v-1}^{l-1} + b^l", False),
    (r"\frac{\partial C}{\partial w_{uv}^l} = \sum_{i,j} \delta_{ij}^l a_{i+u-1,j+v-1}^{l-1}", True),
    (r"\delta_{pq}^{l-1} = \sum_{i,j} \delta_{ij}^l w_{p-i+1,q-j+1}^l \sigma'(z_{pq}^{l-1})", True),
    (r"\delta^{l-1} = \delta^l * \text{rot180}(w^l) \odot \sigma'(z^{l-1})", True),
    (r"\delta^l = \delta^{l+1} \star \operatorname{rot180}(K^{l+1}) \circ \sigma'(z^l)", True),
    (r"\delta^{l-1} = \delta^l * w^l \odot \sigma'(z^{l-1})", False),
    (r"\delta^{l-1} = \delta^l * \text{rot180}(w^l) \odot \sigma'(a^{l-1})", False),
    (r"\delta^{l-1} = \delta^l * \text{rot180}(w^l)", False),
    (r"\delta^{l-1} = \text{rot180}(\delta^l) * w^l \odot \sigma'(z^{l-1})", False),
    (r"\frac{\partial C}{\partial w^l} = a^{l-1} * \delta^l", True),
    (r"\frac{\partial C}{\partial w^l} = \delta^l * a^{l-1}", True),  # the error stays inside the plane
    (r"\frac{\partial C}{\partial w^l} = \delta^l * \text{rot180}(a^{l-1})", False),
    (r"\frac{\partial C}{\partial w^l} = a^{l-1} * \text{rot180}(\delta^l)", False),
    (r"\frac{\partial C}{\partial w^l} = a^l * \delta^l", False),
    (r"\frac{\partial C}{\partial b^l} = \sum_{i,j} \delta_{i,j}^l", True),
    (r"\frac{\partial C}{\partial b^l} = \sum_{u,v} \delta_{w,h}", False),
    (r"\frac{\partial C}{\partial b^l} = \sum_{i,j} \delta_{i,j}^{l-1}", False),
    (r"w^l \leftarrow w^l - \eta \frac{\partial C}{\partial w^l}", True),
    (r"w^l \leftarrow w^l + \eta \frac{\partial C}{\partial w^l}", False),
]

BATCH_NORM = [
    (r"\mu_B = \frac{1}{m} \sum_{i=1}^m z_i", True),
    (r"\mu_B = \sum_{i=1}^m z_i", False),
    (r"\sigma_B^2 = \frac{1}{m} \sum_{i=1}^m (z_i - \mu_B)^2", True),
    (r"\sigma_B^2 = \frac{1}{m} \sum_{i=1}^m z_i^2 - \mu_B^2", True),
    (r"\sigma_B^2 = \frac{1}{m-1} \sum_{i=1}^m (z_i - \mu_B)^2", False),
    (r"\hat{z}_i = \frac{z_i - \mu_B}{\sqrt{\sigma_B^2 + \epsilon}}", True),
    (r"\hat{z}_i = \frac{z_i - \mu_B}{\sigma_B^2 + \epsilon}", False),
    (r"y_i = \gamma \hat{z}_i + \beta", True),
    (r"y_i = \gamma z_i + \beta", False),
    (r"\sum_{i=1}^m \hat{z}_i = 0", True),
    (r"\frac{1}{m} \sum_{i=1}^m \hat{z}_i^2 = \frac{\sigma_B^2}{\sigma_B^2 + \epsilon}", True),
    (r"\frac{1}{m} \sum_{i=1}^m \hat{z}_i^2 = 1", False),
    (r"\frac{\partial C}{\partial \hat{z}_i} = \frac{\partial C}{\partial y_i} \gamma", True),
    (r"\frac{\partial C}{\partial \beta} = \sum_{i=1}^m \frac{\partial C}{\partial y_i}", True),
    (r"\frac{\partial C}{\partial \beta} = \frac{1}{m} \sum_{i=1}^m \frac{\partial C}{\partial y_i}", False),
    (r"\frac{\partial C}{\partial \gamma} = \sum_{i=1}^m \frac{\partial C}{\partial y_i} \hat{z}_i", True),
    (r"\frac{\partial C}{\partial \gamma} = \sum_{i=1}^m \frac{\partial C}{\partial y_i} z_i", False),
    (r"\frac{\partial C}{\partial z_i} = \frac{\gamma}{m \sqrt{\sigma_B^2 + \epsilon}} \left(m \frac{\partial C}{\partial y_i} "
     r"- \sum_{k=1}^m \frac{\partial C}{\partial y_k} - \hat{z}_i \sum_{k=1}^m \frac{\partial C}{\partial y_k} \hat{z}_k\right)",
     True),
    (r"\frac{\partial C}{\partial z_i} = \frac{\gamma}{m \sqrt{\sigma_B^2 + \epsilon}} \left(m \frac{\partial C}{\partial y_i} "
     r"- \sum_{k=1}^m \frac{\partial C}{\partial y_k} + \hat{z}_i \sum_{k=1}^m \frac{\partial C}{\partial y_k} \hat{z}_k\right)",
     False),
    (r"\frac{\partial C}{\partial z_i} = \frac{\partial C}{\partial \hat{z}_i} \frac{1}{\sqrt{\sigma_B^2 + \epsilon}}", False),
    (r"\sum_{i=1}^m \frac{\partial C}{\partial z_i} = 0", True),
    (r"\sum_{i=1}^m \frac{\partial C}{\partial z_i} z_i = 0", False),  # only for epsilon = 0
    (r"\frac{\partial \sigma_B^2}{\partial \mu_B} = \frac{-2}{m} \sum_{i=1}^m (z_i - \mu_B)", True),
    (r"\frac{\partial \sigma_B^2}{\partial \mu_B} = 0", True),
    (r"\frac{\partial C}{\partial \mu_B} = \frac{\hat{z}_i}{\partial \mu_B}", False),
    (r"\frac{\partial C}{\partial w_{jk}^l} = \sum_{i=1}^m \sum_c \frac{\partial C}{\partial a_{ic}^l} \frac{\partial a_{ic}^l}{\partial w_{jk}^l}", True),
    (r"\frac{\partial C}{\partial w_{jk}^l} = \sum_{i=1}^m \sum_c \frac{\partial C}{\partial z_{ic}^l} \frac{\partial a_{ic}^l}{\partial w_{jk}^l}", False),
]  # fmt: skip

DENSE = [  # a parameter acts on what does not read it through what does
    (r"\frac{\partial a_j^l}{\partial w_{jk}^l} = \sigma'(z_j^l) a_k^{l-1}", True),
    (r"\frac{\partial a_j^l}{\partial w_{jk}^l} = \sigma'(z_j^l) a_j^{l-1}", False),
    (r"\frac{\partial z_j^{l+1}}{\partial b_k^l} = w_{jk}^{l+1} \sigma'(z_k^l)", True),
    (r"\frac{\partial C}{\partial b_j^l} = \sum_m \frac{\partial C}{\partial a_m^{l+1}} \frac{\partial a_m^{l+1}}{\partial b_j^l}", True),
    (r"\frac{\partial C}{\partial b_j^l} = \sum_m \frac{\partial C}{\partial z_m^{l+1}} \frac{\partial a_m^{l+1}}{\partial b_j^l}", False),
]  # fmt: skip

RULES = [
    (r"w = w - \alpha \nabla C", True),
    (r"w_{t+1} = w_t - \eta \frac{\partial C}{\partial w_t}", True),
    (r"w = w + \alpha \nabla C", False),
    (r"v_t = \gamma v_{t-1} + \alpha \nabla C", True),
    (r"w = w - v_t", True),
    (r"v_t = \gamma v_{t-1}", False),
    (r"v_t = v_{t-1} + \alpha \nabla C", False),
    (r"w = w + v_t", False),
    (r"w = w - \frac{\lambda}{m} w", False),
    (r"w = w - \alpha \frac{\lambda}{m} w", True),
    (r"w = (1 - \alpha \frac{\lambda}{m}) w", True),
    (r"w = w - \alpha \nabla C - \alpha \lambda w", True),
    (r"w = w - \alpha \nabla C - \lambda w", False),
    (r"w = w - \alpha (\nabla C + \frac{\lambda}{m} w)", True),
]

OUTPUT = [
    (r"\sigma(z) = \frac{1}{1 + e^{-z}}", True),
    (r"\sigma(z) = \frac{e^z}{1 + e^z}", True),
    (r"\sigma(z) = \frac{1}{1 + e^z}", False),
    (r"\sigma'(z) = \sigma(z) (1 - \sigma(z))", True),
    (r"\sigma'(z) = \sigma(z) (1 + \sigma(z))", False),
    (r"\frac{\partial y}{\partial z} = y (1 - y)", True),
    (r"\frac{\partial y}{\partial z} = y^2 (1 - y)", False),
    (r"P(t = 0 \mid z) = \frac{e^{-z}}{1 + e^{-z}}", True),
    (r"P(t = 1 \mid z) = \frac{e^{-z}}{1 + e^{-z}}", False),
    (r"\xi(t, y) = -t \log y - (1 - t) \log(1 - y)", True),
    (r"\xi(t, y) = -\log(y)", False),
    (r"\frac{\partial \xi}{\partial y} = \frac{y - t}{y (1 - y)}", True),
    (r"\frac{\partial \xi}{\partial y} = \frac{1 - t}{1 - y} - \frac{t}{y}", True),
    (r"\frac{\partial \xi}{\partial z} = y - t", True),
    (r"\frac{\partial \xi}{\partial z} = t - y", False),
    (r"\text{delta} = t - y", True),
    (r"\text{delta} = y - t", False),
]
CASES = [
    *(("convolution", latex, true) for latex, true in CONVOLUTION),
    *(("batch_norm", latex, true) for latex, true in BATCH_NORM),
    *(("dense", latex, true) for latex, true in DENSE),
    *(("momentum", latex, true) for latex, true in RULES),
    *(("logistic_cross_entropy", latex, true) for latex, true in OUTPUT),
]


@pytest.mark.parametrize(("system", "latex", "true"), CASES, ids=[f"{s}: {x[:60]}" for s, x, _ in CASES])
def test_what_is_true_holds_for_all_sizes_and_what_is_false_is_refuted(system, latex, true):
    found = outcome(system, latex)
    assert found.holds is true, found
    if true:
        assert found.scope == "all sizes"
        assert found.shown is not None
        assert all(text and heading for heading, text in found.told().steps)
    else:
        assert found.verdict == "refuted"
        assert found.counterexample.left != found.counterexample.right


def test_a_wrong_gradient_comes_with_what_is_right():
    bias = outcome("convolution", r"\frac{\partial C}{\partial b^l} = \sum_{u,v} \delta_{w,h}")
    assert bias.correction == r"\frac{\partial C}{\partial b^{l}} = \sum_{i} \sum_{j} \delta_{i, j}^{l}"
    scale = outcome(
        "batch_norm", r"\frac{\partial C}{\partial \gamma} = \sum_{i=1}^m \frac{\partial C}{\partial y_i} z_i"
    )
    assert scale.correction == (
        r"\frac{\partial C}{\partial \gamma^{l}} = \sum_{i} \frac{\partial C}{\partial y_{i}^{l}} \hat{z}_{i}^{l}"
    )
    assert outcome("momentum", r"w = w - \frac{\lambda}{m} w").correction == r"w = w - \alpha \frac{\lambda}{m} w"
    assert outcome("momentum", r"v_t = \gamma v_{t-1}").correction == r"v_t = \gamma v_{t-1} + \alpha \nabla C"


def test_a_recurrence_that_does_nothing_is_shown_by_its_run():
    found = outcome("momentum", r"v_t = \gamma v_{t-1}")
    assert "gives the velocities 0, 0, 0; momentum gives 1/2, 3/4, 7/8" in found.reason


@pytest.mark.parametrize(
    ("star", "true"),
    [("cross-correlation", True), ("convolution", True), ("convolution of a correlation", False)],
)
def test_the_filter_is_turned_unless_the_convolution_turns_it_already(star, true):
    latex = r"\delta^{l-1} = \delta^l * \text{rot180}(w^l) \odot \sigma'(z^{l-1})"
    assert outcome("convolution", latex, [("star", star)]).holds is true
    assert outcome("convolution", latex.replace(r"\text{rot180}(w^l)", "w^l"), [("star", star)]).holds is not true


def test_pooling_sends_an_error_back_into_its_window():
    before = [("below", "by the activation")]
    place = r"\delta_{s (i-1) + u, s (j-1) + v}^{l-1}"
    mean = place + r" = \frac{1}{s^2} \delta_{i,j}^l"
    assert outcome("average_pooling", mean, before).scope == "all sizes"
    assert outcome("average_pooling", mean.replace("s^2", "s"), before).verdict == "refuted"
    assert outcome("average_pooling", mean, [("below", "by the weighted input")]).verdict == "refuted"
    largest = r"(u, v) = \arg\max_{u, v} a_{s (i-1) + u, s (j-1) + v}^{l-1}"
    to_it = (
        rf"{place} = \begin{{cases}} \delta_{{i,j}}^l & \text{{if }} {largest} \\ 0 & \text{{otherwise}} \end{{cases}}"
    )
    by_definition = r"z_{i,j}^l = \max_{u, v} a_{s (i-1) + u, s (j-1) + v}^{l-1}"
    assert outcome("max_pooling", by_definition).scope == "all sizes"
    assert outcome("max_pooling", by_definition.replace("^{l-1}", "^l")).verdict == "refuted"
    assert outcome("max_pooling", to_it, before).scope == "all sizes"
    to_others = to_it.replace(r"\delta_{i,j}^l &", "0 &").replace(
        r"0 & \text{otherwise}", r"\delta_{i,j}^l & \text{otherwise}"
    )
    assert outcome("max_pooling", to_others, before).verdict == "refuted"
    by_definition = r"z_{i,j}^l = \max_{u, v} a_{s (i-1) + u, s (j-1) + v}^{l-1}"
    assert outcome("max_pooling", by_definition).scope == "all sizes"
    assert outcome("max_pooling", by_definition.replace("^{l-1}", "^l")).verdict == "refuted"
    assert outcome("max_pooling", to_it.replace("+ u, s (j-1)", "+ v, s (j-1)"), before).verdict in (
        "refuted",
        "unread",
    )


def test_a_case_is_taken_as_given():
    assert outcome("logistic_cross_entropy", r"-(y - t) = 1 - y", target=1).verdict == "proved"
    assert outcome("logistic_cross_entropy", r"-(y - t) = 1 - y", target=0).verdict == "refuted"
    assert outcome("logistic_cross_entropy", r"-(y - t) = 1 - y").verdict == "refuted"


@pytest.mark.parametrize(
    ("latex", "system"),
    [
        (r"\hat{z}_i = z_i", "batch_norm"),
        (r"v_t = \gamma v_{t-1}", "momentum"),
        (r"\delta = \text{rot180}(w)", "convolution"),
        (r"C = \log(y)", "logistic_cross_entropy"),
    ],
)
def test_without_a_heading_a_section_may_speak_of_what_its_signs_tell(latex, system):
    (clause,) = read(latex)
    assert [w.system for w in worlds(None, clause.relations)] == ["dense", system]


@pytest.mark.parametrize(
    ("system", "latex"),
    [
        ("convolution", r"\delta^l = \delta^l w^l"),
        ("convolution", r"\delta_{i,j,k,p,q}^l = 0"),
        ("batch_norm", r"\hat{z}_i^{l-1} = 0"),
        ("batch_norm", r"\frac{\partial z_i}{\partial y_i} = 1"),
        ("momentum", r"q = q - \alpha \nabla C"),
        ("momentum", r"w_j = w_j - \alpha \nabla C"),
        ("logistic_cross_entropy", r"\xi(y, t) = 0"),
        ("logistic_cross_entropy", r"P(t = 2 \mid z) = 0"),
        ("max_pooling", r"w^l = w^l - \alpha \frac{\partial C}{\partial w^l}"),
    ],
)
def test_what_has_no_meaning_there_is_unread_with_a_reason(system, latex):
    found = outcome(system, latex)
    assert found.verdict == "unread"
    assert found.reason


# -- damaged formulas ---------------------------------------------------------------------------------------------------

(DOCUMENT,) = our_documents()
FORMULAS = [formula for formula in read_document(DOCUMENT) if formula.kind == "formula"]
MOST_SECONDS = 10


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.sampled_from(FORMULAS), st.sampled_from(FORMULAS), st.data())
def test_a_damaged_formula_of_any_system_is_judged_in_time(formula, other, data):
    start = data.draw(st.integers(0, len(formula.source)))
    stop = data.draw(st.integers(start, min(len(formula.source), start + 12)))
    piece = data.draw(st.integers(0, len(other.source)))
    size = data.draw(st.integers(0, 12))
    damaged = formula.source[:start] + other.source[piece : piece + size] + formula.source[stop:]
    try:
        statements = read(damaged)
    except Unreadable:
        return
    for relation in (r for s in statements if isinstance(s, Clause) for r in s.relations):
        began = time.process_time()
        found = judge(relation, Context(world=World(formula.section.system or "dense"))).told()
        assert time.process_time() - began < MOST_SECONDS
        assert found.verdict in WORST_FIRST
        assert found.verdict != "unread" or found.reason
        assert (
            found.verdict != "refuted"
            or found.counterexample.left != found.counterexample.right
            or found.scope == "shapes"
        )
