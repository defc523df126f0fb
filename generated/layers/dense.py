"""Fully-connected layer: every unit weighs every input and adds its bias.

Forward equations:

    z[n, j] = b[j] + sum_k a[n, k]*w[j, k]

Derived from them:

    nabla_b[j] = sum_n delta_z[n, j]
    delta_a[n, k] = sum_j delta_z[n, j]*w[j, k]
    nabla_w[j, k] = sum_n a[n, k]*delta_z[n, j]

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..engine import contract, contract_add, contract_bias
from ..program import Kernel, span


def dense_forward(a, b, w, z, scratch, first, last):
    r"""z[n, j] = b[j] + sum_k a[n, k]*w[j, k]

    Shapes: a (N, K), b (J,), w (K, J), z (N, J); float32 or float64, C-contiguous.
    """
    J = z.shape[1]
    K = w.shape[0]
    contract_bias(last - first, J, 1, K, a, K * first, K, 0, 1, w, 0, 0, J, 1, z, J * first, J, scratch, b, 0)


def dense_forward_across(a, b, w, z, scratch, first, last):
    r"""z[n, j] = b[j] + sum_k a[n, k]*w[j, k]

    By ranges of the last index of what it writes: where that counts more, threads read less so.
    Shapes: a (N, K), b (J,), w (K, J), z (N, J); float32 or float64, C-contiguous.
    """
    J = z.shape[1]
    K = w.shape[0]
    N = z.shape[0]
    contract_bias(N, last - first, 1, K, a, 0, K, 0, 1, w, first, 0, J, 1, z, first, J, scratch, b, first)


def dense_b_gradient(delta_z, nabla_b, first, last):
    r"""nabla_b[j] = sum_n delta_z[n, j]

    From z[n, j] = b[j] + sum_k a[n, k]*w[j, k].
    Documents: FC-2 (proved, all sizes).
    Shapes: delta_z (N, J), nabla_b (J,); float32 or float64, C-contiguous.
    """
    T = nabla_b.dtype.type
    N = delta_z.shape[0]
    for j in span(first, last):
        nabla_b[j] = T(0)
    for n in range(N):
        for j in span(first, last):
            nabla_b[j] += delta_z[n, j]


def dense_input_sensitivity(delta_z, w, delta_a, scratch, first, last):
    r"""delta_a[n, k] = sum_j delta_z[n, j]*w[j, k]

    From z[n, j] = b[j] + sum_k a[n, k]*w[j, k].
    Documents: FC-1 (proved, all sizes); P1 (conditional, all sizes).
    Shapes: delta_z (N, J), w (K, J), delta_a (N, K); float32 or float64, C-contiguous.
    """
    J = w.shape[1]
    K = delta_a.shape[1]
    contract(last - first, K, 1, J, delta_z, J * first, J, 0, 1, w, 0, 0, 1, J, delta_a, K * first, K, scratch)


def dense_input_sensitivity_across(delta_z, w, delta_a, scratch, first, last):
    r"""delta_a[n, k] = sum_j delta_z[n, j]*w[j, k]

    By ranges of the last index of what it writes: where that counts more, threads read less so.
    From z[n, j] = b[j] + sum_k a[n, k]*w[j, k].
    Documents: FC-1 (proved, all sizes); P1 (conditional, all sizes).
    Shapes: delta_z (N, J), w (K, J), delta_a (N, K); float32 or float64, C-contiguous.
    """
    J = w.shape[1]
    K = delta_a.shape[1]
    N = delta_a.shape[0]
    contract(N, last - first, 1, J, delta_z, 0, J, 0, 1, w, J * first, 0, 1, J, delta_a, first, K, scratch)


def dense_w_gradient(a, delta_z, nabla_w, scratch, first, last):
    r"""nabla_w[j, k] = sum_n a[n, k]*delta_z[n, j]

    From z[n, j] = b[j] + sum_k a[n, k]*w[j, k].
    Documents: FC-3 (proved, all sizes); BN 2.4/1 (conditional, all sizes).
    Shapes: a (N, K), delta_z (N, J), nabla_w (K, J); float32 or float64, C-contiguous.
    """
    J = nabla_w.shape[1]
    K = nabla_w.shape[0]
    N = delta_z.shape[0]
    contract(last - first, J, 1, N, a, first, 1, 0, K, delta_z, 0, 0, J, 1, nabla_w, J * first, J, scratch)


def dense_w_descent(a, delta_z, w, scratch, kept, share, first, last):
    r"""nabla_w[j, k] = sum_n a[n, k]*delta_z[n, j]
    w_new[j, k] = kept*w[j, k] + share*nabla_w[j, k]

    Shapes: a (N, K), delta_z (N, J), w (K, J); float32 or float64, C-contiguous.
    """
    T = w.dtype.type
    J = w.shape[1]
    K = w.shape[0]
    N = delta_z.shape[0]
    if kept != 1:
        for k in range(first, last):
            for j in range(J):
                w[k, j] *= T(kept)
    contract_add(last - first, J, 1, N, a, first, 1, 0, K, delta_z, 0, 0, J, 1, w, J * first, J, scratch, T(share))


DENSE = Layer(
    name="dense",
    inputs=("a[n, k]",),
    outputs=("z[n, j]",),
    parameters=("w[j, k]", "b[j]"),
    storage=("w[k, j]", "b[j]"),
    fan_in={"w": ("k",)},
    forward=(
        Kernel(
            dense_forward,
            arguments=("a[n, k]", "b[j]", "w[k, j]", "z[n, j]", "scratch"),
            split="n",
            writes=("z",),
            across=Kernel(
                dense_forward_across,
                arguments=("a[n, k]", "b[j]", "w[k, j]", "z[n, j]", "scratch"),
                split="j",
                writes=("z",),
            ),
        ),
    ),
    backward=(
        Kernel(
            dense_b_gradient,
            arguments=("delta_z[n, j]", "nabla_b[j]"),
            split="j",
            writes=("nabla_b",),
        ),
        Kernel(
            dense_input_sensitivity,
            arguments=("delta_z[n, j]", "w[k, j]", "delta_a[n, k]", "scratch"),
            split="n",
            writes=("delta_a",),
            across=Kernel(
                dense_input_sensitivity_across,
                arguments=("delta_z[n, j]", "w[k, j]", "delta_a[n, k]", "scratch"),
                split="k",
                writes=("delta_a",),
            ),
        ),
        Kernel(
            dense_w_gradient,
            arguments=("a[n, k]", "delta_z[n, j]", "nabla_w[k, j]", "scratch"),
            split="k",
            writes=("nabla_w",),
        ),
    ),
    descent=(
        Kernel(
            dense_w_descent,
            arguments=("a[n, k]", "delta_z[n, j]", "w[k, j]", "scratch"),
            split="k",
            writes=("w",),
            local=False,
            scalars=("kept", "share"),
        ),
    ),
)
