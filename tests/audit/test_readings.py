"""What is true only under a reading says which; what is false under each is refuted; nothing is proved that is not."""

import pytest
import sympy as sp

from derive.audit.audit import audit_text
from derive.audit.meaning import network as lifted
from derive.calculus.equation import tensor
from derive.notation import Sum, indices, system, tensors


def only(latex):
    return audit_text(f"$${latex}$$")[0]


@pytest.mark.parametrize(
    ("latex", "reading"),
    [
        ("z = w a + b", "without layer superscripts, all is of one layer and a is its input"),
        (r"a = \sigma(z)", "without layer superscripts, all is of one layer and a is its output"),
        (r"w^l \rightarrow w^l - \eta \delta^l (a^{l-1})^T", "the mini-batch is one sample"),
        (r"\frac{\partial C}{\partial w} = a_{\text{in}} \delta_{\text{out}}", "`in` is"),
        (r"\frac{\partial C}{\partial w_{ik}^{l+1}} = \delta_{\text{out}} a_{\text{in}}", "`in` is"),
        (r"w = w - \alpha \nabla C", "`=` assigns"),
        (r"\partial C / \partial a_j^L = a_j^L - y_j", "C is the quadratic cost"),
        (
            r"\delta^L = a^L - y",
            "the last layer's activation the logistic function",
        ),
        (r"\nabla_a C = 2 (a^L - y)", "C is the squared error cost"),
        (r"E = \frac{1}{2} \sum_j (y_j - a_j^L)^2", "E is the cost of one sample"),
        (r"\frac{\partial E}{\partial w_{jk}^l} = a_k^{l-1} \delta_j^l", "E is the cost of one sample"),
        (r"\delta_j^L = (a_j^L - y_j) a_j^L (1 - a_j^L)", "the activation is the logistic function"),
        (
            r"\delta_j^l = a_j^l (1 - a_j^l) \sum_k w_{kj}^{l+1} \delta_k^{l+1}",
            "the activation is the logistic function",
        ),
        (r"\delta_j^L = (a_j^L - y_j) (1 - (a_j^L)^2)", "the activation is the tanh function"),
    ],
)
def test_a_reading_that_is_needed_is_named(latex, reading):
    found = only(latex)
    assert (found.verdict, found.scope) == ("conditional", "all sizes")
    assert reading in found.reading


@pytest.mark.parametrize(
    "latex",
    [
        r"a^1 = \sigma(z^1)",  # the input layer has no z
        r"\alpha = \eta",  # two letters of the author's for what is one thing here
        r"v_t = \gamma v_{t-1}",  # symbols of no network
        r"y (1 - y) = y - y^2",  # a number taken from a vector
        r"z_j^l = \sum_k w_{jk}^l a_{k+1}^{l-1} + b_j^l",  # where the sum ends is not said
        r"a^{T} = \sigma(z^l)",
        r"a^{new} = \sigma(z^l)",
        r"C^l = C^l",
        r"\hat{a}^l = \sigma(z^l)",
        r"a^l \approx \sigma(z^l)",
        r"a^l = \sigma''(z^l)",
        r"a^l = \sigma \circ z^l",
        r"\delta^l = \delta^l * w^l",
        r"w^l \rightarrow w^l - \frac{\eta}{m} \delta^l (a^{l-1})^T",
        r"a^l \cdot a^l = a^l \cdot a^l",
        r"a^{0} = a^{0}",
        r"L = C",
        r"a^{L-l} = a^{L-l}",
        r"\frac{\partial z_j^l}{\partial z_k^{l+1}} = 0",
        r"\delta_j = \sigma'(z_j) \sum_k w_{kj} \delta_k",  # of two layers, which the indices alone tell apart
        r"a_k = \sigma(\sum_j w_{kj} a_j + b_k)",
    ],
)
def test_what_has_no_clear_meaning_is_unread_never_proved(latex):
    found = only(latex)
    assert found.verdict == "unread", found
    assert "line 1, column" in found.reason


@pytest.mark.parametrize(
    "latex",
    [
        r"z_j^l = w_{jk}^l a_k^{l-1} + b_j^l",  # an index that no sum binds
        r"\delta^l = (w^{l+1} \delta^{l+1}) \odot \sigma'(z^l)",
        r"\frac{\partial C}{\partial w^l} = a^{l-1} (\delta^l)^T",
        r"\frac{\partial C}{\partial w^l} = \delta^l a^{l-1}",
        r"\delta^l = \nabla_a C \odot \sigma'(z^l)",
        r"\delta^{l} = \delta^{L}",
        r"w^l = w^l + \alpha \frac{\partial C}{\partial w^l}",
        r"w_{ij}^{new} = w_{ij}^{old} - \eta \frac{\partial E}{\partial w_{ji}}",
        r"\frac{\partial C}{\partial w} = a_{\text{out}} \delta_{\text{in}}",
        r"\delta^{x,L} = \nabla_a C_x \odot \sigma(z^{x,L})",
        r"E = \sum_x C_x",
        r"C = \sum_j (y_j - a_j^L)^3",
        r"\delta_1^l = \delta_2^l",
        r"\delta^L = y - a^L",
        r"\delta^L = 2 (a^L - y)",
        r"\frac{\partial E}{\partial w_{jk}^l} = a_j^{l-1} \delta_k^l",
        r"E = \sum_j (y_j - a_j^L)",
        r"\delta_j^L = (y_j - a_j^L) a_j^L (1 - a_j^L)",
        r"\delta_j^l = a_j^l (1 + a_j^l) \sum_k w_{kj}^{l+1} \delta_k^{l+1}",
    ],
)
def test_what_is_false_is_refuted_with_an_instance(latex):
    found = only(latex)
    assert found.verdict == "refuted", found
    assert set(found.counterexample) == {"sizes", "values", "left", "right"}
    assert found.counterexample["left"] != found.counterexample["right"] or "shape" in found.counterexample["left"]
    assert all(isinstance(v, str) for part in ("sizes", "values") for v in found.counterexample[part].values())


def test_a_counterexample_is_as_small_as_it_can_be():
    sign = only(r"z_j^l = \sum_k w_{jk}^l a_k^{l-1} - b_j^l").counterexample["sizes"]
    turned = only(r"z^l = (w^l)^T a^{l-1} + b^l").counterexample["sizes"]
    assert sign == {"L": "2", "l": "2", "n_1": "1", "n_2": "1", "m": "1"}
    assert turned == {"L": "2", "l": "2", "n_1": "2", "n_2": "2", "m": "1"}


@pytest.fixture
def redefined(monkeypatch):
    """Dense as another definition has it."""
    n, j, k = indices("n j k")
    a, w, b = tensors("a w b")

    def define(forward):
        with system("dense", inputs=[a[n, k]], parameters=[w[j, k], b[j]], outputs=[tensor("z")[n, j]]) as dense:
            dense.z[n, j] = forward(a[n, k], w[j, k], b[j], k)
        monkeypatch.setattr(lifted, "dense", dense)
        lifted.network.cache_clear()

    yield define
    monkeypatch.undo()
    lifted.network.cache_clear()


def test_the_verdicts_follow_a_definition_with_squared_weights(redefined):
    redefined(lambda a, w, b, k: Sum(w**2 * a, k) + b)
    assert only("z^l = w^l a^{l-1} + b^l").verdict == "refuted"
    assert only(r"\frac{\partial C}{\partial w_{jk}^l} = a_k^{l-1} \delta_j^l").verdict == "refuted"
    assert only(r"\frac{\partial C}{\partial b_j^l} = \delta_j^l").verdict == "proved"
    assert only(r"z_j^l = \sum_k (w_{jk}^l)^2 a_k^{l-1} + b_j^l").verdict == "proved"
    assert only(r"\frac{\partial C}{\partial w_{jk}^l} = 2 w_{jk}^l a_k^{l-1} \delta_j^l").verdict == "proved"
    assert only(r"\delta_k^l = \sum_j (w_{jk}^{l+1})^2 \delta_j^{l+1} \sigma'(z_k^l)").verdict == "proved"


def test_the_verdicts_follow_a_definition_with_a_sum_inside_a_square(redefined):
    redefined(lambda a, w, b, k: Sum(w * a, k) ** 2 + b)
    assert only("z^l = w^l a^{l-1} + b^l").verdict == "refuted"
    assert only(r"z_j^l = (\sum_k w_{jk}^l a_k^{l-1})^2 + b_j^l").verdict == "proved"
    gradient = r"\frac{\partial C}{\partial w_{jk}^l} = 2 a_k^{l-1} \delta_j^l \sum_i w_{ji}^l a_i^{l-1}"
    assert only(gradient).verdict == "proved"
    assert only(gradient.replace("2 ", "3 ")).verdict == "refuted"


def test_the_lifted_network_is_the_definitions_and_their_adjoints():
    net = lifted.network()
    owners = {name: d.system for name, d in net.definitions.items()}
    assert owners["z"] == owners["delta_a"] == owners["C:w"] == owners["E:b"] == "dense"
    assert net.definitions["E:w"].body.has(sp.Sum)
    assert not lifted.network("dense", "quadratic").at_last["delta_a"].body.has(sp.Derivative)
