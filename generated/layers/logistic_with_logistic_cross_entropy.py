"""Logistic function: a probability from any real number.
Cross-entropy of independent yes-or-no targets t in [0, 1], each with its own predicted probability a.

Forward equations:

    a[n, j] = 1/(1 + exp(-z[n, j]))
    C[n] = sum_j (-(1 - t[n, j])*log(1 - a[n, j]) - log(a[n, j])*t[n, j])

Derived from them:

    delta_z[n, j] = (a[n, j] - t[n, j])/N

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Pair
from ..functions import exp, log1p
from ..program import Kernel


def logistic_with_logistic_cross_entropy_cost(z, t, a, C, first, last):
    r"""a[n, j] = {1/(1 + exp(-|z[n, j]|)) if z[n, j] >= 0; exp(-|z[n, j]|)/(1 + exp(-|z[n, j]|)) otherwise}
    C[n] = sum_j ((1 - t[n, j])*(Max(0, z[n, j]) + log1p(exp(-|z[n, j]|))) + t[n, j]*(Max(0, -z[n, j]) +
        log1p(exp(-|z[n, j]|))))

    Stable form of a[n, j] = 1/(1 + exp(-z[n, j])); C[n] = sum_j (-(1 - t[n, j])*log(1 - a[n, j]) - log(a[n,
        j])*t[n, j]).
    Shapes: z (N, J), t (N, J), a (N, J), C (N,); float32 or float64, C-contiguous.
    """
    T = C.dtype.type
    J = a.shape[1]
    for n in range(first, last):
        for j in range(J):
            e = exp(-abs(z[n, j]))
            p = T(1) / (e + T(1))
            a[n, j] = p if z[n, j] >= T(0) else e * p
        total = T(0)
        for j in range(J):
            e = exp(-abs(z[n, j]))
            p = log1p(e)
            total += (T(0) if t[n, j] == T(1) else (T(1) - t[n, j]) * (p + max(z[n, j], T(0)))) + (
                T(0) if t[n, j] == T(0) else (p + max(-z[n, j], T(0))) * t[n, j]
            )
        C[n] = total


def logistic_with_logistic_cross_entropy_input_sensitivity(a, t, delta_z, first, last):
    r"""delta_z[n, j] = (a[n, j] - t[n, j])/N

    From a[n, j] = 1/(1 + exp(-z[n, j])); C[n] = sum_j (-(1 - t[n, j])*log(1 - a[n, j]) - log(a[n, j])*t[n, j]).
    Shapes: a (N, J), t (N, J), delta_z (N, J); float32 or float64, C-contiguous.
    """
    T = delta_z.dtype.type
    J = delta_z.shape[1]
    N = delta_z.shape[0]
    for n in range(first, last):
        for j in range(J):
            delta_z[n, j] = (a[n, j] - t[n, j]) / T(N)


LOGISTIC_WITH_LOGISTIC_CROSS_ENTROPY = Pair(
    name="logistic_with_logistic_cross_entropy",
    layer="logistic",
    cost="logistic_cross_entropy",
    inputs=("z[n, j]",),
    targets=("t[n, j]",),
    outputs=("a[n, j]", "C[n]"),
    forward=(
        Kernel(
            logistic_with_logistic_cross_entropy_cost,
            arguments=("z[n, j]", "t[n, j]", "a[n, j]", "C[n]"),
            split="n",
            writes=("C", "a"),
        ),
    ),
    backward=(
        Kernel(
            logistic_with_logistic_cross_entropy_input_sensitivity,
            arguments=("a[n, j]", "t[n, j]", "delta_z[n, j]"),
            split="n",
            writes=("delta_z",),
        ),
    ),
)
