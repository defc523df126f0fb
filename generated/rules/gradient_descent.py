"""Gradient descent: a step against the gradient of the mini-batch's mean cost.

nabla_total[i] adds the gradient of the penalty: weight decay as the gradient of its penalty: half the decay times
the squared length of the weights.

Forward equations:

    w_new[i] = w[i] - learning_rate*nabla[i]

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Rule
from ..program import Kernel, span


def gradient_descent_update(w, nabla, learning_rate, weight_decay, first, last):
    r"""nabla_total[i] = weight_decay*w[i] + nabla[i]
    w_new[i] = w[i] - learning_rate*nabla_total[i]

    Shapes: w (I,), nabla (I,); float32 or float64, C-contiguous.
    """
    T = nabla.dtype.type
    for i in span(first, last):
        nabla_total = T(weight_decay) * w[i] + nabla[i]
        w_new = w[i] - T(learning_rate) * nabla_total
        w[i] = w_new


def gradient_descent_factors(kept, share, learning_rate, weight_decay, first, last):
    r"""w_new[i] = kept*w[i] + share*nabla[i]
    kept = 1 - learning_rate*weight_decay
    share = -learning_rate

    Shapes: kept (One,), share (One,); kept, share float64, C-contiguous.
    """
    kept[0] = 1 - learning_rate * weight_decay
    share[0] = -learning_rate


GRADIENT_DESCENT = Rule(
    name="gradient_descent",
    parameter="w",
    gradient="nabla",
    states=(),
    settings={"learning_rate": 0.1, "weight_decay": 0.0},
    update=(
        Kernel(
            gradient_descent_update,
            arguments=("w[i]", "nabla[i]"),
            split="i",
            writes=("w",),
            scalars=("learning_rate", "weight_decay"),
        ),
    ),
    linear=(
        Kernel(
            gradient_descent_factors,
            arguments=("kept[one]: float64", "share[one]: float64"),
            split="",
            writes=("kept", "share"),
            scalars=("learning_rate", "weight_decay"),
        ),
    ),
)
