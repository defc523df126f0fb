"""Gradient descent with momentum as in Darknet: the velocity v adds up gradients, the learning rate multiplies it.

At a constant rate its steps are those of `momentum`, whose velocity is this one times the rate. Where the rate
changes
they differ: here a new rate at once scales all that v remembers, there what was gathered at an old rate keeps it.
Facts: pjreddie/darknet, update_convolutional_layer in src/convolutional_layer.c (its updates are -nabla).

nabla_total[i] adds the gradient of the penalty: weight decay as the gradient of its penalty: half the decay times
the squared length of the weights.

Forward equations:

    v_new[i] = momentum*v[i] - nabla[i]
    w_new[i] = learning_rate*v_new[i] + w[i]

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Rule
from ..program import Kernel, span


def momentum_darknet_update(w, v, nabla, learning_rate, momentum, weight_decay, first, last):
    r"""nabla_total[i] = weight_decay*w[i] + nabla[i]
    v_new[i] = momentum*v[i] - nabla_total[i]
    w_new[i] = learning_rate*v_new[i] + w[i]

    Shapes: w (I,), v (I,), nabla (I,); float32 or float64, C-contiguous.
    """
    T = nabla.dtype.type
    for i in span(first, last):
        nabla_total = T(weight_decay) * w[i] + nabla[i]
        v_new = T(momentum) * v[i] - nabla_total
        w_new = T(learning_rate) * v_new + w[i]
        w[i] = w_new
        v[i] = v_new


MOMENTUM_DARKNET = Rule(
    name="momentum_darknet",
    parameter="w",
    gradient="nabla",
    states=("v",),
    settings={"learning_rate": 0.001, "momentum": 0.9, "weight_decay": 0.0},
    update=(
        Kernel(
            momentum_darknet_update,
            arguments=("w[i]", "v[i]", "nabla[i]"),
            split="i",
            writes=("w", "v"),
            scalars=("learning_rate", "momentum", "weight_decay"),
        ),
    ),
)
