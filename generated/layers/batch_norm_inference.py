"""Batch normalisation in use: by the running mean and variance of training (Ioffe & Szegedy 2015, algorithm 2).

Forward equations:

    y[m, c] = (z[m, c] - mean[c])*gamma[c]/sqrt(epsilon + variance[c]) + beta[c]

Derived from them:

    nabla_beta[c] = sum_m delta_y[m, c]
    nabla_gamma[c] = sum_m (z[m, c] - mean[c])*delta_y[m, c]/sqrt(epsilon + variance[c])
    delta_z[m, c] = delta_y[m, c]*gamma[c]/sqrt(epsilon + variance[c])

Written by ``derive generate``; change the definition, not this file.
"""

from numpy import sqrt

from ..definition import Layer
from ..program import Kernel, span


def batch_norm_inference_forward(beta, gamma, mean, variance, z, y, epsilon, first, last):
    r"""y[m, c] = (z[m, c] - mean[c])*gamma[c]/sqrt(epsilon + variance[c]) + beta[c]

    Shapes: beta (C,), gamma (C,), mean (C,), variance (C,), z (M, C), y (M, C); float32 or float64, C-contiguous.
    """
    T = y.dtype.type
    C = y.shape[1]
    for m in range(first, last):
        for c in range(C):
            y[m, c] = (z[m, c] - mean[c]) * gamma[c] / sqrt(T(epsilon) + variance[c]) + beta[c]


def batch_norm_inference_beta_gradient(delta_y, nabla_beta, first, last):
    r"""nabla_beta[c] = sum_m delta_y[m, c]

    From y[m, c] = (z[m, c] - mean[c])*gamma[c]/sqrt(epsilon + variance[c]) + beta[c].
    Shapes: delta_y (M, C), nabla_beta (C,); float32 or float64, C-contiguous.
    """
    T = nabla_beta.dtype.type
    M = delta_y.shape[0]
    for c in span(first, last):
        nabla_beta[c] = T(0)
    for m in range(M):
        for c in span(first, last):
            nabla_beta[c] += delta_y[m, c]


def batch_norm_inference_gamma_gradient(delta_y, mean, variance, z, nabla_gamma, epsilon, first, last):
    r"""nabla_gamma[c] = sum_m (z[m, c] - mean[c])*delta_y[m, c]/sqrt(epsilon + variance[c])

    From y[m, c] = (z[m, c] - mean[c])*gamma[c]/sqrt(epsilon + variance[c]) + beta[c].
    Shapes: delta_y (M, C), mean (C,), variance (C,), z (M, C), nabla_gamma (C,); float32 or float64,
    C-contiguous.
    """
    T = nabla_gamma.dtype.type
    M = z.shape[0]
    for c in span(first, last):
        nabla_gamma[c] = T(0)
    for m in range(M):
        for c in span(first, last):
            nabla_gamma[c] += (z[m, c] - mean[c]) * delta_y[m, c] / sqrt(T(epsilon) + variance[c])


def batch_norm_inference_input_sensitivity(delta_y, gamma, variance, delta_z, epsilon, first, last):
    r"""delta_z[m, c] = delta_y[m, c]*gamma[c]/sqrt(epsilon + variance[c])

    From y[m, c] = (z[m, c] - mean[c])*gamma[c]/sqrt(epsilon + variance[c]) + beta[c].
    Shapes: delta_y (M, C), gamma (C,), variance (C,), delta_z (M, C); float32 or float64, C-contiguous.
    """
    T = delta_z.dtype.type
    C = delta_z.shape[1]
    for m in range(first, last):
        for c in range(C):
            delta_z[m, c] = delta_y[m, c] * gamma[c] / sqrt(T(epsilon) + variance[c])


BATCH_NORM_INFERENCE = Layer(
    name="batch_norm_inference",
    inputs=("z[m, c]",),
    outputs=("y[m, c]",),
    parameters=("gamma[c]", "beta[c]"),
    storage=("gamma[c]", "beta[c]"),
    fan_in={},
    states=("mean[c]", "variance[c]"),
    initial={"gamma": 1.0, "variance": 1.0},
    settings={"epsilon": 1e-05},
    forward=(
        Kernel(
            batch_norm_inference_forward,
            arguments=("beta[c]", "gamma[c]", "mean[c]", "variance[c]", "z[m, c]", "y[m, c]"),
            split="m",
            writes=("y",),
            scalars=("epsilon",),
        ),
    ),
    backward=(
        Kernel(
            batch_norm_inference_beta_gradient,
            arguments=("delta_y[m, c]", "nabla_beta[c]"),
            split="c",
            writes=("nabla_beta",),
        ),
        Kernel(
            batch_norm_inference_gamma_gradient,
            arguments=("delta_y[m, c]", "mean[c]", "variance[c]", "z[m, c]", "nabla_gamma[c]"),
            split="c",
            writes=("nabla_gamma",),
            scalars=("epsilon",),
        ),
        Kernel(
            batch_norm_inference_input_sensitivity,
            arguments=("delta_y[m, c]", "gamma[c]", "variance[c]", "delta_z[m, c]"),
            split="m",
            writes=("delta_z",),
            scalars=("epsilon",),
        ),
    ),
)
