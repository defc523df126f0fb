"""Softmax: exponentials as shares of their sum, a distribution over the classes j of each sample.
Cross-entropy of a target distribution t over classes (shares that add up to one) and the predicted one.

Forward equations:

    e[n, j] = exp(z[n, j])
    s[n] = sum_j e[n, j]
    a[n, j] = e[n, j]/s[n]
    C[n] = sum_j (-log(a[n, j])*t[n, j])

Derived from them:

    delta_z[n, j] = (a[n, j] - t[n, j])/N

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Pair
from ..functions import exp, log1p
from ..program import Kernel


def softmax_with_softmax_cross_entropy_cost(z, t, a, C, first, last):
    r"""z_max[n] = max_j z[n, j]
    z_relative[n, j] = z[n, j] - z_max[n]
    s_rest[n] = sum_j {0 if j = z_max_at[n]; exp(z_relative[n, j]) otherwise}
    s_relative[n] = 1 + s_rest[n]
    a[n, j] = exp(z_relative[n, j])/s_relative[n]
    C[n] = sum_j t[n, j]*(log1p(s_rest[n]) - z_relative[n, j])

    Stable form of a[n, j] = e[n, j]/s[n]; C[n] = sum_j (-log(a[n, j])*t[n, j]).
    Shapes: z (N, J), t (N, J), a (N, J), C (N,); float32 or float64, C-contiguous.
    """
    T = C.dtype.type
    J = a.shape[1]
    for n in range(first, last):
        z_max = z[n, 0]
        z_max_at = 0
        for j in range(J):
            if z[n, j] > z_max:
                z_max = z[n, j]
                z_max_at = j
        s_rest = T(0)
        for j in range(J):
            p = exp(z[n, j] - z_max)
            s_rest += T(0) if j == z_max_at else p
        s_relative = s_rest + T(1)
        for j in range(J):
            a[n, j] = exp(z[n, j] - z_max) / s_relative
        total = T(0)
        for j in range(J):
            p = log1p(s_rest)
            total += T(0) if t[n, j] == T(0) else t[n, j] * (p - (z[n, j] - z_max))
        C[n] = total


def softmax_with_softmax_cross_entropy_input_sensitivity(a, t, delta_z, first, last):
    r"""delta_z[n, j] = (a[n, j] - t[n, j])/N

    From e[n, j] = exp(z[n, j]); s[n] = sum_j e[n, j]; a[n, j] = e[n, j]/s[n]; C[n] = sum_j (-log(a[n, j])*t[n,
        j]).
    Shapes: a (N, J), t (N, J), delta_z (N, J); float32 or float64, C-contiguous.
    """
    T = delta_z.dtype.type
    J = delta_z.shape[1]
    N = delta_z.shape[0]
    for n in range(first, last):
        for j in range(J):
            delta_z[n, j] = (a[n, j] - t[n, j]) / T(N)


SOFTMAX_WITH_SOFTMAX_CROSS_ENTROPY = Pair(
    name="softmax_with_softmax_cross_entropy",
    layer="softmax",
    cost="softmax_cross_entropy",
    inputs=("z[n, j]",),
    targets=("t[n, j]",),
    outputs=("a[n, j]", "C[n]"),
    forward=(
        Kernel(
            softmax_with_softmax_cross_entropy_cost,
            arguments=("z[n, j]", "t[n, j]", "a[n, j]", "C[n]"),
            split="n",
            writes=("C", "a"),
        ),
    ),
    backward=(
        Kernel(
            softmax_with_softmax_cross_entropy_input_sensitivity,
            arguments=("a[n, j]", "t[n, j]", "delta_z[n, j]"),
            split="n",
            writes=("delta_z",),
        ),
    ),
)
