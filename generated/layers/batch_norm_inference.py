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
from ..lanes import fma, lanes
from ..program import Kernel, span


def batch_norm_inference_y_of_gamma_variance(gamma, variance, y_of_gamma_variance, epsilon, first, last):
    r"""y_of_gamma_variance[c] = gamma[c]/sqrt(epsilon + variance[c])

    Shapes: gamma (C,), variance (C,), y_of_gamma_variance (C,); float32 or float64, C-contiguous.
    """
    T = y_of_gamma_variance.dtype.type
    for i in span(first, last):
        y_of_gamma_variance[i] = gamma[i] / sqrt(T(epsilon) + variance[i])


def batch_norm_inference_forward(beta, mean, y_of_gamma_variance, z, y, first, last):
    r"""y[m, c] = (z[m, c] - mean[c])*y_of_gamma_variance[c] + beta[c]

    Stable form of y[m, c] = (z[m, c] - mean[c])*gamma[c]/sqrt(epsilon + variance[c]) + beta[c].
    Shapes: beta (C,), mean (C,), y_of_gamma_variance (C,), z (M, C), y (M, C); float32 or float64, C-contiguous.
    """
    C = y.shape[1]
    for m in range(first, last):
        for c in lanes(C):
            y[m, c] = fma(z[m, c] - mean[c], y_of_gamma_variance[c], beta[c])


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


def batch_norm_inference_input_sensitivity(delta_y, y_of_gamma_variance, delta_z, first, last):
    r"""delta_z[m, c] = delta_y[m, c]*y_of_gamma_variance[c]

    From y[m, c] = (z[m, c] - mean[c])*gamma[c]/sqrt(epsilon + variance[c]) + beta[c].
    Shapes: delta_y (M, C), y_of_gamma_variance (C,), delta_z (M, C); float32 or float64, C-contiguous.
    """
    C = delta_z.shape[1]
    for m in range(first, last):
        for c in lanes(C):
            delta_z[m, c] = delta_y[m, c] * y_of_gamma_variance[c]


BATCH_NORM_INFERENCE = Layer(
    name="batch_norm_inference",
    inputs=("z[m, c]",),
    outputs=("y[m, c]",),
    parameters=("gamma[c]", "beta[c]"),
    storage=("gamma[c]", "beta[c]"),
    fan_in={},
    states=("mean[c]", "variance[c]"),
    initial={"gamma": 1.0, "variance": 1.0},
    buffers=("y_of_gamma_variance[c]",),
    settings={"epsilon": 1e-05},
    forward=(
        Kernel(
            batch_norm_inference_y_of_gamma_variance,
            arguments=("gamma[i]", "variance[i]", "y_of_gamma_variance[i]"),
            split="i",
            writes=("y_of_gamma_variance",),
            scalars=("epsilon",),
        ),
        Kernel(
            batch_norm_inference_forward,
            arguments=("beta[c]", "mean[c]", "y_of_gamma_variance[c]", "z[m, c]", "y[m, c]"),
            split="m",
            writes=("y",),
            lane="c",
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
            arguments=("delta_y[m, c]", "y_of_gamma_variance[c]", "delta_z[m, c]"),
            split="m",
            writes=("delta_z",),
            lane="c",
        ),
    ),
)
