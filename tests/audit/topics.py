r"""What the note is about, topic by topic: true formulas, what stands beside them in a document, how they are checked.

A topic's heading says to the auditor which forward system it speaks of; the formulas beside settle what its notation
leaves open (are vectors rows? what is `*`? is a velocity added?), and the topic's section of the independent checker has
the same conventions, stated.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import mutants as dense
from independent import Section
from independent_batch import BatchSection
from independent_layers import DenseSection
from independent_planes import PlaneSection
from independent_scalars import OutputSection, RuleSection

QUADRATIC = r"C = \frac{1}{2} \sum_j (y_j - a_j^L)^2"


@dataclass(frozen=True)
class Topic:
    """True formulas that are to be changed, each alone; `equivalent` are true too, and written otherwise."""

    name: str
    heading: str
    section: Callable[[], Section]
    beside: tuple[str, ...]
    true: tuple[str, ...]
    equivalent: tuple[str, ...] = ()

    def document(self, latex: str, original: str = "") -> tuple[str, int]:
        """A document with the formula in place of the original, or last; and the line on which it stands."""
        others = [each for each in self.beside if each not in (original, latex)]
        formulas = [*others, latex]
        return f"# {self.heading}\n\n" + "\n\n".join(f"$${each}$$" for each in formulas) + "\n", 2 * len(formulas) + 1


def of_cost(latex: str) -> str:
    return "squared_error" if "Error" in latex else "quadratic" if "y" in latex or "frac{1}{2} " in latex else "linear"


FULLY_CONNECTED = Topic(
    "fully connected",
    "Network",
    DenseSection,
    (
        r"z^l = w^l a^{l-1} + b^l",
        r"\delta^l = ((w^{l+1})^T \delta^{l+1}) \odot \sigma'(z^l)",
        r"\frac{\partial C}{\partial w^l} = \delta^l (a^{l-1})^T",
        r"b^l = b^l - \alpha \frac{\partial C}{\partial b^l}",
        r"b^l \rightarrow b^l - \frac{\eta}{m} \sum_x \delta^{x,l}",
    ),
    tuple(latex for latex in dense.TRUE if of_cost(latex) == "linear"),
    (*dense.EQUIVALENT, *dense.CHAIN_RULE),
)

QUADRATIC_COST = Topic(
    "quadratic cost",
    "Network",
    lambda: DenseSection("quadratic"),
    (QUADRATIC,),
    tuple(latex for latex in dense.TRUE if of_cost(latex) == "quadratic"),
    tuple(dense.EQUIVALENT_FOR_QUADRATIC),
)

SQUARED_ERROR = Topic(
    "squared error",
    "Network",
    lambda: DenseSection("squared_error"),
    (),
    (r"Error = (output - target)^2",),
    (r"Error = (target - output)^2",),
)

TWO_STEPS = Topic(
    "two steps",
    "Two steps through a layer",
    lambda: DenseSection(vectors="rows"),
    (
        r"z^l = a^{l-1} w^l + b^l",
        r"delta^{l-1} = \delta^l \frac{\partial z^l}{\partial a^{l-1}}",
        r"\delta^{l-1} = delta^{l-1} \odot \sigma'(z^{l-1})",
    ),
    (
        r"delta^{l-1} = \delta^l \frac{\partial z^l}{\partial a^{l-1}}",
        r"\delta^{l-1} = delta^{l-1} \odot \sigma'(z^{l-1})",
        r"z^l = a^{l-1} w^l + b^l",
        r"\frac{\partial C}{\partial w^l} = (a^{l-1})^T \delta^l",
        r"\delta^{l-1} = \left(\delta^l (w^l)^T \right) \odot \sigma'(z^{l-1})",
    ),
    (
        r"delta^{l-1} = \delta^l (w^l)^T",
        r"\delta^{l-1} = \sigma'(z^{l-1}) \odot delta^{l-1}",
        r"\delta^{l-1} = \delta^l \frac{\partial z^l}{\partial a^{l-1}} \odot \sigma'(z^{l-1})",
        r"delta^{l-1} = \frac{\partial C}{\partial a^{l-1}}",
    ),
)

CONVOLUTION = Topic(
    "convolution",
    "Convolution",
    lambda: PlaneSection("convolution"),
    (
        r"z^l = a^{l-1} * w^l + b^l",
        r"\delta^{l-1} = \delta^l * \text{rot}180(w^l) \odot \sigma'(z^{l-1})",
        r"\frac{\partial C}{\partial w^l} = a^{l-1} * \delta^l",
    ),
    (
        r"z^l = a^{l-1} * w^l + b^l",
        r"a^l = \sigma \left(a^{l-1} * w^l + b^l \right)",
        r"\delta^{l-1} = \delta^l * \text{rot}180(w^l) \odot \sigma'(z^{l-1})",
        r"\frac{\partial C}{\partial b^l} = \sum_{u,v} \delta_{u,v}^l",
        r"\frac{\partial C}{\partial w^l} = a^{l-1} * \delta^l",
        r"b^l = b^l - \alpha \frac{\partial C}{\partial b^l}",
        r"w^l = w^l - \alpha \frac{\partial C}{\partial w^l}",
    ),
    (
        r"\delta^{l-1} = \sigma'(z^{l-1}) \odot \left(\delta^l * \text{rot}180(w^l) \right)",
        r"z^l - b^l = a^{l-1} * w^l",
        r"z^l = b^l + a^{l-1} * w^l",
        r"\frac{\partial C}{\partial b^l} = \sum_{p,q} \delta_{p,q}^l",
        r"\frac{\partial C}{\partial b^l} = \sum_{u,v} \delta_{u,v}",
        r"\frac{\partial C}{\partial K^l} = a^{l-1} * \delta^l",
        r"z_{o,i,j}^l = \sum_c \sum_{u,v} w_{o,c,u,v}^l a_{c,i+u-1,j+v-1}^{l-1} + b_o^l",
        r"\frac{\partial C}{\partial b_o^l} = \sum_{i,j} \delta_{o,i,j}^l",
        r"\frac{\partial C}{\partial w_{o,c,u,v}^l} = \sum_{i,j} \delta_{o,i,j}^l a_{c,i+u-1,j+v-1}^{l-1}",
        r"\text{rot}180(\text{rot}180(w^l)) = w^l",
        r"w^l = -\alpha \frac{\partial C}{\partial w^l} + w^l",
    ),
)


def square(letter: str, side: int, where: str = "") -> str:
    rows = (" & ".join(f"{letter}_{{{i},{j}}}" for j in range(1, side + 1)) for i in range(1, side + 1))
    return r"\begin{bmatrix} " + r" \\ ".join(rows) + r" \end{bmatrix}" + where


TURNED = r"\begin{bmatrix} W_{2,2} & W_{2,1} \\ W_{1,2} & W_{1,1} \end{bmatrix}"
FIGURES = Topic(
    "figures",
    "Convolution",
    lambda: PlaneSection("convolution", figure="yes", below="by the activation"),
    (
        rf"{square('z', 2, '^l')} = {square('a', 3, '^{l-1}')} * {square('W', 2)} + W_b",
        r"\frac{\partial C}{\partial w^l} = a^{l-1} * \delta^l",
        rf"{square(chr(92) + 'delta', 3, '^{l-1}')} = {square(chr(92) + 'delta', 2, '^l')}"
        rf" * \text{{rot}}180 \left({square('W', 2)} \right)",
    ),
    (
        rf"{square('z', 2, '^l')} = {square('a', 3, '^{l-1}')} * {square('W', 2)} + W_b",
        rf"{TURNED} = \text{{rot}}180 \left({square('W', 2)} \right)",
        rf"{square(chr(92) + 'delta', 3, '^{l-1}')} = {square(chr(92) + 'delta', 2, '^l')} * {TURNED}",
    ),
    (
        rf"{square('z', 2, '^l')} = W_b + {square('a', 3, '^{l-1}')} * {square('W', 2)}",
        rf"\text{{rot}}180 \left({TURNED} \right) = {square('W', 2)}",
        rf"{square(chr(92) + 'delta', 3, '^{l-1}')} = {square(chr(92) + 'delta', 2, '^l')}"
        rf" * \text{{rot}}180 \left({square('W', 2)} \right)",
    ),
)

BLOCK = r"s (i-1) + u, s (j-1) + v"
AVERAGE_POOLING = Topic(
    "average pooling",
    "Average pooling",
    lambda: PlaneSection("average_pooling", below="by the activation"),
    (r"a^l = \sigma(z^l)", r"\delta_{s (p-1) + q, s (i-1) + j}^{l-1} = \frac{\delta_{p,i}^l}{s^2}"),
    (rf"\delta_{{{BLOCK}}}^{{l-1}} = \frac{{1}}{{s^2}} \delta_{{i,j}}^l",),
    (
        rf"s^2 \delta_{{{BLOCK}}}^{{l-1}} = \delta_{{i,j}}^l",
        rf"\delta_{{{BLOCK}}}^{{l-1}} = \frac{{\delta_{{i,j}}^l}}{{s^2}}",
        r"\delta_{s (p-1) + u, s (q-1) + v}^{l-1} = \frac{1}{s^2} \delta_{p,q}^l",
        rf"\delta_{{{BLOCK}}}^{{l-1}} = \frac{{1}}{{s}} \frac{{1}}{{s}} \delta_{{i,j}}^l",
    ),
)

WINNER = rf"(u, v) = \arg\max_{{u, v}} a_{{{BLOCK}}}^{{l-1}}"
MAX_POOLING = Topic(
    "max pooling",
    "Max pooling",
    lambda: PlaneSection("max_pooling", below="by the activation"),
    (
        r"a^l = \sigma(z^l)",
        r"\delta_{s (p-1) + u, s (q-1) + v}^{l-1} = \begin{cases} \delta_{p,q}^l & (u, v) = \arg\max_{u, v} "
        r"a_{s (p-1) + u, s (q-1) + v}^{l-1} \\ 0 & \text{else} \end{cases}",
    ),
    (
        rf"\delta_{{{BLOCK}}}^{{l-1}} = \begin{{cases}} \delta_{{i,j}}^l & \text{{if }} {WINNER} \\ "
        r"0 & \text{otherwise} \end{cases}",
    ),
    (
        r"\delta_{s (p-1) + u, s (q-1) + v}^{l-1} = \begin{cases} \delta_{p,q}^l & (u, v) = \arg\max_{u, v} "
        r"a_{s (p-1) + u, s (q-1) + v}^{l-1} \\ 0 & \text{else} \end{cases}",
        rf"2 \delta_{{{BLOCK}}}^{{l-1}} = \begin{{cases}} 2 \delta_{{i,j}}^l & {WINNER} \\ 0 & \text{{else}} \end{{cases}}",
    ),
)

MOMENTUM = Topic(
    "updates",
    "Updates with momentum and decay",
    RuleSection,
    (r"v_t = \gamma v_{t-1} + \alpha \nabla C", r"w = w - v_t", r"w = w - \alpha \nabla C"),
    (
        r"w = w - \alpha \nabla C",
        r"v_t = \gamma v_{t-1} + \alpha \nabla C",
        r"w = w - v_t",
        r"w = w - \alpha \frac{\lambda}{m} w",
        r"w = w - \alpha \nabla C - \alpha \frac{\lambda}{m} w",
        r"w_t = w_{t-1} - v_t",
    ),
    (
        r"v_t = \alpha \nabla C + \gamma v_{t-1}",
        r"v_t - \gamma v_{t-1} = \alpha \nabla C",
        r"w = w - \gamma v_{t-1} - \alpha \nabla C",
        r"w = w \left(1 - \alpha \frac{\lambda}{m} \right)",
        r"w = \left(1 - \frac{\alpha \lambda}{m} \right) w - \alpha \nabla C",
        r"w = w - \alpha \left(\nabla C + \frac{\lambda}{m} w \right)",
        r"w = w - \alpha \frac{\partial C}{\partial w}",
        r"b = b - \alpha \nabla C",
        r"w \leftarrow w - \alpha \nabla_w C",
        r"v_t = \gamma v_{t-1} + \alpha \frac{\partial C}{\partial w}",
        r"w_t = w_{t-1} - \gamma v_{t-1} - \alpha \nabla C",
    ),
)

CHAIN = r"\frac{\partial C}{\partial z_i^{l+1}} \frac{\partial z_i^{l+1}}{\partial a_i^l} \frac{\partial a_i^l}{\partial y_i^l}"
SENT = r"\delta_i^{l+1} \frac{\partial z_i^{l+1}}{\partial a_i^l}"
SLOPE = r"\left[\delta^{l+1} \frac{\partial z_i^{l+1}}{\partial a_i^l} \odot g(y_i^l)' \right]"
POWER = r"\left[(\sigma_B^2)^{(l)} + \varepsilon \right]^{-\frac{3}{2}}"
VARIANCE, MEAN = r"\frac{\partial C}{\partial (\sigma_B^2)^l}", r"\frac{\partial C}{\partial \mu_B^l}"
OVER_ROOT = r"\frac{-\mathbf{1}}{\sqrt{(\sigma_B^2)^l + \varepsilon}}"
REST = (
    r"\frac{\partial C}{\partial \sigma_B^2} \cdot \frac{\mathbf{2}}{m} \cdot (z_i^l - \mu_B) "
    r"+ \frac{\partial C}{\partial \mu_B} \cdot \frac{\mathbf{1}}{m}"
)
BATCH_NORMALISATION = Topic(
    "batch normalisation",
    "Batch normalisation",
    BatchSection,
    (
        r"y_i^l = \gamma^l \odot \hat{z}_i^l + \beta^l",
        rf"\delta_i^l = \frac{{\partial C}}{{\partial \hat{{z}}_i^l}} \frac{{\mathbf{{1}}}}{{\sqrt{{\sigma_B^2 + \varepsilon}}}} + {REST}",
        r"\frac{\partial C}{\partial w^l} = \sum_{i=1}^m \left(a^{l-1} \right)^T \delta^l",
        rf"\frac{{\partial C}}{{\partial \gamma^l}} = \sum_{{i=1}}^m {SENT} \odot \left[g(y_i^l)' \odot \hat{{z}}_i^l \right]",
    ),
    (
        r"\mu_B^l = \frac{1}{m} \sum_{i=1}^m z_i^l",
        r"(\sigma_B^2)^l = \frac{1}{m} \sum_{i=1}^m (z_i^l - \mu_B^l)^2",
        r"\hat{z}_i^l = \frac{z_i^l - \mu_B^l}{\sqrt{(\sigma_B^2)^l + \varepsilon}}",
        r"y_i^l = \gamma^l \odot \hat{z}_i^l + \beta^l",
        rf"{VARIANCE} = \sum_{{i=1}}^m \left(\frac{{\partial C}}{{\partial \hat{{z}}_i^l}} \frac{{\partial \hat{{z}}_i^l}}{{\partial (\sigma_B^2)^l}} \right)",
        rf"{VARIANCE} = \sum_{{i=1}}^m \left\{{ \frac{{-1}}{{2}} {CHAIN} \frac{{\partial y_i^l}}{{\partial \hat{{z}}_i^l}} (z_i^l - \mu_B^l) {POWER} \right\}}",
        rf"{VARIANCE} = \sum_{{i=1}}^m \left\{{ \frac{{-1}}{{2}} \left[\delta^{{l+1}} \frac{{\partial z_i^{{l+1}}}}{{\partial a_i^l}} \odot \left(g(y_i^l)' \cdot \gamma_i^l \right) \right] (z_i^l - \mu_B^l) {POWER} \right\}}",
        rf"{VARIANCE} = \gamma^l \odot \sum_{{i=1}}^m \left\{{ \frac{{-1}}{{2}} {SLOPE} (z_i^l - \mu_B^l) {POWER} \right\}}",
        rf"{MEAN} = \sum_{{i=1}}^m \left(\frac{{\partial C}}{{\partial \hat{{z}}_i}} \frac{{\partial \hat{{z}}_i}}{{\partial \mu_B^l}} \right) + {VARIANCE} \frac{{\partial \sigma_B^2}}{{\partial \mu_B^l}}",
        rf"{MEAN} = \sum_{{i=1}}^m \left(\frac{{\partial C}}{{\partial \hat{{z}}_i}} {OVER_ROOT} \right) + {VARIANCE} \cdot \frac{{-2}}{{m}} \cdot \sum_i^m (z_i^l - \mu_B^l)",
        rf"\sum_{{i=1}}^m \left(\frac{{\partial C}}{{\partial \hat{{z}}_i}} {OVER_ROOT} \right) = \gamma^l \odot \sum_{{i=1}}^m \left({SLOPE} {OVER_ROOT} \right)",
        r"\delta_i^l = \frac{\partial C}{\partial \hat{z}_i^l} \frac{\partial \hat{z}_i^l}{\partial z_i^l} + \frac{\partial C}{\partial \sigma_B^2} \frac{\partial \sigma_B^2}{\partial z_i^l} + \frac{\partial C}{\partial \mu_B} \frac{\partial \mu_B}{\partial z_i^l}",
        rf"\delta_i^l = \frac{{\partial C}}{{\partial \hat{{z}}_i^l}} \frac{{\mathbf{{1}}}}{{\sqrt{{\sigma_B^2 + \varepsilon}}}} + {REST}",
        rf"\delta_i^l = \left[\delta^{{l+1}} \frac{{\partial z_i^{{l+1}}}}{{\partial a_i^l}} \odot \left(g(y_i^l)' \odot \gamma_i^l \right) \right] \frac{{\mathbf{{1}}}}{{\sqrt{{\sigma_B^2 + \varepsilon}}}} + {REST}",
        r"\frac{\partial C}{\partial w^l} = \sum_{i=1}^m \frac{\partial C}{\partial z_i^l} \frac{\partial z_i^l}{\partial w^l}",
        r"\frac{\partial C}{\partial w^l} = \sum_{i=1}^m \left(a^{l-1} \right)^T \delta^l",
        rf"\frac{{\partial C}}{{\partial \beta^l}} = \sum_{{i=1}}^m {CHAIN} \frac{{\partial y_i^l}}{{\partial \beta^l}}",
        rf"\frac{{\partial C}}{{\partial \beta^l}} = \sum_{{i=1}}^m {SENT} \odot g(y_i^l)'",
        rf"\frac{{\partial C}}{{\partial \gamma^l}} = \sum_{{i=1}}^m {CHAIN} \frac{{\partial y_i^l}}{{\partial \gamma^l}}",
        rf"\frac{{\partial C}}{{\partial \gamma^l}} = \sum_{{i=1}}^m {SENT} \odot \left[g(y_i^l)' \odot \hat{{z}}_i^l \right]",
    ),
    (
        r"\hat{z}_i^l \odot \sqrt{(\sigma_B^2)^l + \varepsilon} = z_i^l - \mu_B^l",
        r"\hat{z}_i^l = (z_i^l - \mu_B^l) \left[(\sigma_B^2)^l + \varepsilon \right]^{-\frac{1}{2}}",
        r"y_k^l = \beta^l + \hat{z}_k^l \odot \gamma^l",
        r"y_{i,j}^l = \gamma_j^l \hat{z}_{i,j}^l + \beta_j^l",
        r"m \mu_B^l = \sum_{i=1}^m z_i^l",
        r"\sum_{i=1}^m (z_i^l - \mu_B^l) = 0 \mu_B^l",
        r"(\sigma_B^2)^l = \frac{1}{m} \sum_{i=1}^m (z_i^l)^2 - (\mu_B^l)^2",
        r"\frac{\partial C}{\partial \beta^l} = \sum_{i=1}^m \frac{\partial C}{\partial y_i^l}",
        r"\frac{\partial C}{\partial \gamma^l} = \sum_{k=1}^m \frac{\partial C}{\partial y_k^l} \odot \hat{z}_k^l",
        r"\frac{\partial C}{\partial \gamma_j^l} = \sum_{i=1}^m \frac{\partial C}{\partial y_{i,j}^l} \hat{z}_{i,j}^l",
        r"\frac{\partial C}{\partial \hat{z}_i^l} = \frac{\partial C}{\partial y_i^l} \odot \gamma^l",
        r"\frac{\partial C}{\partial \mu_B} \frac{\partial \mu_B}{\partial z_i^l} = \frac{1}{m} \frac{\partial C}{\partial \mu_B}",
        rf"{MEAN} = \sum_{{i=1}}^m \left(\frac{{\partial C}}{{\partial \hat{{z}}_i}} {OVER_ROOT} \right)",
        rf"{MEAN} = - \frac{{\mathbf{{1}}}}{{\sqrt{{(\sigma_B^2)^l + \varepsilon}}}} \sum_{{i=1}}^m \frac{{\partial C}}{{\partial \hat{{z}}_i}}",
        rf"{VARIANCE} = - \frac{{1}}{{2}} \sum_{{i=1}}^m \frac{{\partial C}}{{\partial \hat{{z}}_i^l}} (z_i^l - \mu_B^l) {POWER}",
        r"\frac{\partial C}{\partial w^l} = \sum_{k=1}^m \left(a_k^{l-1} \right)^T \delta_k^l",
        r"\frac{\partial C}{\partial b^l} = \sum_{i=1}^m \delta_i^l",
    ),
)  # fmt: skip

LOGISTIC = Topic(
    "logistic output",
    "Cross-entropy of one logistic output",
    OutputSection,
    (r"\sigma(z) = \frac{1}{1 + e^{-z}}", r"\xi(t, y) = -t \log(y) - (1 - t) \log(1 - y)"),
    (
        r"\sigma(z) = \frac{1}{1 + e^{-z}}",
        r"P(t = \mathbf{1} \mid z) = \sigma(z)",
        r"P(t = \mathbf{0} \mid z) = 1 - \sigma(z)",
        r"P(t = \mathbf{0} \mid z) = \frac{e^{-z}}{1 + e^{-z}}",
        r"P(t = \mathbf{1} \mid z) = y",
        r"\xi(t, y) = -t \log(y) - (1 - t) \log(1 - y)",
        r"\frac{\partial \xi}{\partial z} = \frac{\partial y}{\partial z} \frac{\partial \xi}{\partial y}",
        r"\frac{\partial \xi}{\partial z} = y(1 - y) \frac{y - t}{y(1 - y)}",
        r"\frac{\partial \xi}{\partial z} = y - t",
        r"\text{delta} = -\text{loss_derivative}",
        r"\text{delta} = t - y",
    ),
    (
        r"\sigma(z) = \frac{e^z}{e^z + 1}",
        r"\sigma(z) = 1 - \sigma(-z)",
        r"y = \sigma(z)",
        r"1 - y = \frac{1}{1 + e^z}",
        r"e^{-z} = \frac{1 - y}{y}",
        r"z = \log(y) - \log(1 - y)",
        r"\sigma'(z) = \sigma(z) (1 - \sigma(z))",
        r"\frac{\partial y}{\partial z} = y (1 - y)",
        r"\frac{\partial y}{\partial z} = y - y^2",
        r"\xi(t, y) = (t - 1) \log(1 - y) - t \log(y)",
        r"\xi(t, y) = -(t \log(y) + (1 - t) \log(1 - y))",
        r"\frac{\partial \xi}{\partial y} = \frac{y - t}{y (1 - y)}",
        r"\frac{\partial \xi}{\partial y} = \frac{1 - t}{1 - y} - \frac{t}{y}",
        r"\frac{\partial \xi}{\partial z} = -t (1 - y) + (1 - t) y",
        r"\frac{\partial \xi}{\partial z} = \sigma(z) - t",
        r"\text{delta} = -(y - t)",
    ),
)

TOPICS = (
    FULLY_CONNECTED, QUADRATIC_COST, SQUARED_ERROR, TWO_STEPS, CONVOLUTION, FIGURES, AVERAGE_POOLING, MAX_POOLING, MOMENTUM,
    BATCH_NORMALISATION, LOGISTIC,
)  # fmt: skip


@cache
def topic(name: str) -> Topic:
    return next(each for each in TOPICS if each.name == name)
