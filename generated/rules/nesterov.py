"""Nesterov's accelerated gradient (1983; in the form of Sutskever et al. 2013, at the looked-ahead weights).

nabla_total[i] adds the gradient of the penalty: weight decay as the gradient of its penalty: half the decay times
the squared length of the weights.

Forward equations:

    v_new[i] = momentum*v[i] - learning_rate*nabla[i]
    w_new[i] = momentum*v_new[i] + w[i] - learning_rate*nabla[i]

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Rule
from ..program import Kernel, span


def nesterov_update(w, v, nabla, learning_rate, momentum, weight_decay, first, last):
    r"""nabla_total[i] = weight_decay*w[i] + nabla[i]
    v_new[i] = momentum*v[i] - learning_rate*nabla_total[i]
    w_new[i] = momentum*v_new[i] + w[i] - learning_rate*nabla_total[i]

    Shapes: w (I,), v (I,), nabla (I,); float32 or float64, C-contiguous.
    """
    T = nabla.dtype.type
    for i in span(first, last):
        nabla_total = T(weight_decay) * w[i] + nabla[i]
        v_new = T(momentum) * v[i] - T(learning_rate) * nabla_total
        w_new = T(momentum) * v_new + w[i] - T(learning_rate) * nabla_total
        w[i] = w_new
        v[i] = v_new


NESTEROV = Rule(
    name="nesterov",
    parameter="w",
    gradient="nabla",
    states=("v",),
    settings={"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.0},
    update=(
        Kernel(
            nesterov_update,
            arguments=("w[i]", "v[i]", "nabla[i]"),
            split="i",
            writes=("w", "v"),
            scalars=("learning_rate", "momentum", "weight_decay"),
        ),
    ),
)
