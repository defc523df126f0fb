"""A section answers a question of notation once, for all of its formulas: a slip does not turn the convention around."""

import pytest

from derive.audit.audit import audit_text

ROWS = r"""
$$z^{[l]} = a^{[l-1]} W^{[l]} + b^{[l]}$$
$$a^{[l]} = \sigma(z^{[l]})$$
$$\delta^{[l]} = (\delta^{[l+1]} (W^{[l+1]})^\top) \circ \sigma'(z^{[l]})$$
$$\nabla_{W^{[l]}} C = (a^{[l-1]})^\top \delta^{[l]}$$
$$\frac{\partial C}{\partial W_{kj}^{[l]}} = a_k^{[l-1]} \delta_j^{[l]}$$
"""
ROWS_TURNED = r"""
$$z^l = a^{l-1} (w^l)^T + b^l$$
$$\delta^l = (\delta^{l+1} w^{l+1}) \odot \sigma'(z^l)$$
$$\frac{\partial C}{\partial w^l} = (\delta^l)^T a^{l-1}$$
$$\frac{\partial C}{\partial w_{jk}^l} = a_k^{l-1} \delta_j^l$$
"""
COLUMNS = r"""
$$z^l = w^l a^{l-1} + b^l$$
$$\delta^l = ((w^{l+1})^T \delta^{l+1}) \odot \sigma'(z^l)$$
$$\frac{\partial C}{\partial w^l} = \delta^l (a^{l-1})^T$$
"""
NEGATIVE = r"""
$$\delta^L = (y - a^L) \odot \sigma'(z^L)$$
$$\delta^l = ((w^{l+1})^T \delta^{l+1}) \odot \sigma'(z^l)$$
$$w^l \leftarrow w^l + \eta \delta^l (a^{l-1})^T$$
$$\frac{\partial C}{\partial b^l} = -\delta^l$$
"""
SUMMED = r"""
$$E = \sum_x C_x$$
$$\frac{\partial E}{\partial b^l} = \sum_x \delta^{x,l}$$
$$w^l \leftarrow w^l - \eta \sum_x \delta^{x,l} (a^{x,l-1})^T$$
"""


def verdicts(text):
    return [v for v in audit_text(text) if "/" not in v.id]


@pytest.mark.parametrize("text", [ROWS, ROWS_TURNED, COLUMNS, NEGATIVE, SUMMED])
def test_a_convention_that_is_kept_holds_throughout(text):
    for verdict in verdicts(text):
        assert verdict.verdict in ("proved", "conditional"), verdict
        assert verdict.scope == "all sizes"


@pytest.mark.parametrize(
    ("text", "slip"),
    [
        (ROWS, r"\delta^{[l]} = (\delta^{[l+1]} W^{[l+1]}) \circ \sigma'(z^{[l]})"),
        (ROWS, r"\nabla_{W^{[l]}} C = \delta^{[l]} (a^{[l-1]})^\top"),
        (ROWS, r"\frac{\partial C}{\partial W_{jk}^{[l]}} = a_k^{[l-1]} \delta_j^{[l]}"),
        (COLUMNS, r"\delta^l = (\delta^{l+1} w^{l+1}) \odot \sigma'(z^l)"),
        (COLUMNS, r"\frac{\partial C}{\partial w^l} = (a^{l-1})^T \delta^l"),
        (COLUMNS, r"\frac{\partial C}{\partial b^l} = -\delta^l"),
        (COLUMNS, r"\frac{\partial C}{\partial w_{kj}^l} = a_k^{l-1} \delta_j^l"),
        (COLUMNS, r"w^l \leftarrow w^l - \eta \sum_x \delta^{x,l} (a^{x,l-1})^T"),
        (NEGATIVE, r"\frac{\partial C}{\partial w^l} = \delta^l (a^{l-1})^T"),
        (SUMMED, r"w^l \leftarrow w^l - \frac{\eta}{m} \sum_x \delta^{x,l} (a^{x,l-1})^T"),
    ],
)
def test_a_slip_among_them_is_refuted(text, slip):
    *others, last = verdicts(f"{text}\n$${slip}$$\n")
    assert last.verdict == "refuted"
    assert all(v.verdict in ("proved", "conditional") for v in others)


@pytest.mark.parametrize(
    "alone",
    [
        r"\frac{\partial C}{\partial b^l} = -\delta^l",
        r"b^l \leftarrow b^l - \eta \sum_x \delta^{x,l}",
        r"z_j^l = \sum_k w_{kj}^l a_k^{l-1} + b_j^l",
        r"\delta^L = y - a^L",
    ],
)
def test_one_formula_alone_does_not_make_a_sign_a_factor_or_an_order_of_indices_a_convention(alone):
    assert verdicts(f"$${alone}$$")[0].verdict == "refuted"


def test_sections_may_differ():
    found = verdicts(f"# By columns\n{COLUMNS}\n# By rows\n{ROWS}")
    assert all(v.verdict in ("proved", "conditional") for v in found)
    assert [("rows" in (v.reading or "")) for v in found][:3] == [False, False, False]


def test_a_derivation_goes_on_behind_a_wrong_line():
    wrong = r"""$$\begin{aligned}
    \frac{\partial C}{\partial b_j^l} &= \sum_i \frac{\partial C}{\partial z_i^l} \frac{\partial z_i^l}{\partial b_j^l} \\
    &= \frac{\partial C}{\partial z_j^l} + \frac{\partial z_j^l}{\partial b_j^l} \\
    &= \delta_j^l \tag{D}
    \end{aligned}$$"""
    whole, first, second, third = audit_text(wrong)
    assert [v.verdict for v in (whole, first, second, third)] == ["refuted", "proved", "refuted", "refuted"]
    assert whole.reason == "a line before is wrong, but its last line is right"
    assert third.reason.startswith("the line before is wrong; what stands here is right")
    assert second.correction == r"\frac{\partial C}{\partial b_{j}^{l}} = \delta_{j}^{l}"


@pytest.mark.parametrize(
    ("letter", "formula"), [("h", r"z^l = w^l h^{l-1} + b^l"), ("x", r"x^l = f(w^l x^{l-1} + b^l)")]
)
def test_other_letters_stand_for_activations_where_no_a_does(letter, formula):
    (found,) = audit_text(f"$${formula}$$")
    assert (found.verdict, found.reading) == ("conditional", f"`{letter}` stands for the activation")
