"""Adam (Kingma & Ba 2014): steps scaled by running moments m and v of the gradient; `step` counts from 1.

nabla_total[i] adds the gradient of the penalty: weight decay as the gradient of its penalty: half the decay times
the squared length of the weights.

Forward equations:

    m_new[i] = beta1*m[i] + (1 - beta1)*nabla[i]
    v_new[i] = beta2*v[i] + (1 - beta2)*nabla[i]**2
    m_hat[i] = m_new[i]/(1 - beta1**step)
    v_hat[i] = v_new[i]/(1 - beta2**step)
    w_new[i] = w[i] - learning_rate*m_hat[i]/(epsilon + sqrt(v_hat[i]))

Written by ``derive generate``; change the definition, not this file.
"""

from numpy import sqrt

from ..definition import Rule
from ..program import Kernel, span


def adam_update(w, m, v, nabla, beta1, beta2, epsilon, learning_rate, step, weight_decay, first, last):
    r"""nabla_total[i] = weight_decay*w[i] + nabla[i]
    m_new[i] = beta1*m[i] + (1 - beta1)*nabla_total[i]
    v_new[i] = beta2*v[i] + (1 - beta2)*nabla_total[i]**2
    m_hat[i] = m_new[i]/(1 - beta1**step)
    v_hat[i] = v_new[i]/(1 - beta2**step)
    w_new[i] = w[i] - learning_rate*m_hat[i]/(epsilon + sqrt(v_hat[i]))

    Shapes: w (I,), m (I,), v (I,), nabla (I,); float32 or float64, C-contiguous.
    """
    T = nabla.dtype.type
    c1 = T(1 - beta1)
    c2 = T(1 - beta2)
    c3 = T(1 / (1 - beta1**step))
    c4 = T(1 / (1 - beta2**step))
    for i in span(first, last):
        nabla_total = T(weight_decay) * w[i] + nabla[i]
        m_new = c1 * nabla_total + T(beta1) * m[i]
        v_new = c2 * nabla_total * nabla_total + T(beta2) * v[i]
        m_hat = c3 * m_new
        v_hat = c4 * v_new
        w_new = w[i] - T(learning_rate) * m_hat / (T(epsilon) + sqrt(v_hat))
        w[i] = w_new
        m[i] = m_new
        v[i] = v_new


ADAM = Rule(
    name="adam",
    parameter="w",
    gradient="nabla",
    states=("m", "v"),
    settings={
        "learning_rate": 0.001,
        "beta1": 0.9,
        "beta2": 0.999,
        "epsilon": 1e-08,
        "step": None,
        "weight_decay": 0.0,
    },
    update=(
        Kernel(
            adam_update,
            arguments=("w[i]", "m[i]", "v[i]", "nabla[i]"),
            split="i",
            writes=("w", "m", "v"),
            scalars=("beta1", "beta2", "epsilon", "learning_rate", "step", "weight_decay"),
        ),
    ),
)
