"""Batch normalisation over the samples m of each channel c (Ioffe & Szegedy 2015, algorithms 1 and 2).

In training by the mini-batch's own mean and variance; the running ones, which stand in for them in use, move
towards them
by the share `momentum`, the variance without bias, as PyTorch has it. On planes m counts samples and places.

Forward equations:

    mu[c] = sum_m z[m, c]/M
    var[c] = sum_m (z[m, c] - mu[c])**2/M
    z_hat[m, c] = (z[m, c] - mu[c])/sqrt(epsilon + var[c])
    y[m, c] = gamma[c]*z_hat[m, c] + beta[c]
    mean_new[c] = momentum*mu[c] + (1 - momentum)*mean[c]
    variance_new[c] = (1 - momentum)*variance[c] + M*momentum*var[c]/Max(1, M - 1)

Derived from them:

    nabla_beta[c] = sum_m delta_y[m, c]
    nabla_gamma[c] = sum_m delta_y[m, c]*z_hat[m, c]
    delta_z_sum[c] = sum_m1 delta_y[m1, c]*z_hat[m1, c]
    delta_z_sum2[c] = sum_m1 delta_y[m1, c]
    delta_z[m, c] = (delta_y[m, c] - delta_z_sum2[c]/M - delta_z_sum[c]*z_hat[m, c]/M)*gamma[c]/sqrt(epsilon +
        var[c])

Written by ``derive generate``; change the definition, not this file.
"""

from numpy import sqrt

from ..definition import Layer
from ..program import Kernel, span


def batch_norm_mu(z, mu, first, last):
    r"""mu[c] = sum_m z[m, c]/M

    Shapes: z (M, C), mu (C,); float32 or float64, C-contiguous.
    """
    T = mu.dtype.type
    M = z.shape[0]
    for c in span(first, last):
        mu[c] = T(0)
    for m in range(M):
        for c in span(first, last):
            mu[c] += z[m, c]
    for c in span(first, last):
        mu[c] *= T(1) / T(M)


def batch_norm_var(mu, z, var, first, last):
    r"""var[c] = sum_m (z[m, c] - mu[c])**2/M

    Shapes: mu (C,), z (M, C), var (C,); float32 or float64, C-contiguous.
    """
    T = var.dtype.type
    M = z.shape[0]
    for c in span(first, last):
        var[c] = T(0)
    for m in range(M):
        for c in span(first, last):
            e = z[m, c] - mu[c]
            var[c] += e * e
    for c in span(first, last):
        var[c] *= T(1) / T(M)


def batch_norm_forward(mu, var, z, beta, gamma, z_hat, y, epsilon, first, last):
    r"""z_hat[m, c] = (z[m, c] - mu[c])/sqrt(epsilon + var[c])
    y[m, c] = gamma[c]*z_hat[m, c] + beta[c]

    Shapes: mu (C,), var (C,), z (M, C), beta (C,), gamma (C,), z_hat (M, C), y (M, C); float32 or float64,
    C-contiguous.
    """
    T = y.dtype.type
    C = y.shape[1]
    for m in range(first, last):
        for c in range(C):
            z_hat[m, c] = (z[m, c] - mu[c]) / sqrt(T(epsilon) + var[c])
            y[m, c] = gamma[c] * z_hat[m, c] + beta[c]


def batch_norm_variance_new(z, mean, mu, var, variance, mean_new, variance_new, momentum, first, last):
    r"""mean_new[c] = momentum*mu[c] + (1 - momentum)*mean[c]
    variance_new[c] = (1 - momentum)*variance[c] + M*momentum*var[c]/Max(1, M - 1)

    Shapes: z (M, C), mean (C,), mu (C,), var (C,), variance (C,), mean_new (C,), variance_new (C,); float32 or
    float64, C-contiguous.
    """
    T = variance_new.dtype.type
    M = z.shape[0]
    c1 = T(1 - momentum)
    c2 = T(1 / max(M - 1, 1))
    for c in range(first, last):
        mean_new[c] = c1 * mean[c] + T(momentum) * mu[c]
        variance_new[c] = c1 * variance[c] + c2 * T(M) * T(momentum) * var[c]


def batch_norm_beta_gradient(delta_y, nabla_beta, first, last):
    r"""nabla_beta[c] = sum_m delta_y[m, c]

    From mu[c] = sum_m z[m, c]/M; var[c] = sum_m (z[m, c] - mu[c])**2/M; z_hat[m, c] = (z[m, c] -
        mu[c])/sqrt(epsilon + var[c]); y[m, c] = gamma[c]*z_hat[m, c] + beta[c]; mean_new[c] = momentum*mu[c] + (1
        - momentum)*mean[c]; variance_new[c] = (1 - momentum)*variance[c] + M*momentum*var[c]/Max(1, M - 1).
    Documents: BN 2.5/1 (conditional, all sizes).
    Shapes: delta_y (M, C), nabla_beta (C,); float32 or float64, C-contiguous.
    """
    T = nabla_beta.dtype.type
    M = delta_y.shape[0]
    for c in span(first, last):
        nabla_beta[c] = T(0)
    for m in range(M):
        for c in span(first, last):
            nabla_beta[c] += delta_y[m, c]


def batch_norm_gamma_gradient(delta_y, z_hat, nabla_gamma, first, last):
    r"""nabla_gamma[c] = sum_m delta_y[m, c]*z_hat[m, c]

    From mu[c] = sum_m z[m, c]/M; var[c] = sum_m (z[m, c] - mu[c])**2/M; z_hat[m, c] = (z[m, c] -
        mu[c])/sqrt(epsilon + var[c]); y[m, c] = gamma[c]*z_hat[m, c] + beta[c]; mean_new[c] = momentum*mu[c] + (1
        - momentum)*mean[c]; variance_new[c] = (1 - momentum)*variance[c] + M*momentum*var[c]/Max(1, M - 1).
    Documents: BN 2.6/1 (conditional, all sizes).
    Shapes: delta_y (M, C), z_hat (M, C), nabla_gamma (C,); float32 or float64, C-contiguous.
    """
    T = nabla_gamma.dtype.type
    M = z_hat.shape[0]
    for c in span(first, last):
        nabla_gamma[c] = T(0)
    for m in range(M):
        for c in span(first, last):
            nabla_gamma[c] += delta_y[m, c] * z_hat[m, c]


def batch_norm_delta_z_sum(delta_y, z_hat, delta_z_sum, first, last):
    r"""delta_z_sum[c] = sum_m1 delta_y[m1, c]*z_hat[m1, c]

    From mu[c] = sum_m z[m, c]/M; var[c] = sum_m (z[m, c] - mu[c])**2/M; z_hat[m, c] = (z[m, c] -
        mu[c])/sqrt(epsilon + var[c]); y[m, c] = gamma[c]*z_hat[m, c] + beta[c]; mean_new[c] = momentum*mu[c] + (1
        - momentum)*mean[c]; variance_new[c] = (1 - momentum)*variance[c] + M*momentum*var[c]/Max(1, M - 1).
    Shapes: delta_y (M, C), z_hat (M, C), delta_z_sum (C,); float32 or float64, C-contiguous.
    """
    T = delta_z_sum.dtype.type
    M = z_hat.shape[0]
    for c in span(first, last):
        delta_z_sum[c] = T(0)
    for m1 in range(M):
        for c in span(first, last):
            delta_z_sum[c] += delta_y[m1, c] * z_hat[m1, c]


def batch_norm_delta_z_sum2(delta_y, delta_z_sum2, first, last):
    r"""delta_z_sum2[c] = sum_m1 delta_y[m1, c]

    From mu[c] = sum_m z[m, c]/M; var[c] = sum_m (z[m, c] - mu[c])**2/M; z_hat[m, c] = (z[m, c] -
        mu[c])/sqrt(epsilon + var[c]); y[m, c] = gamma[c]*z_hat[m, c] + beta[c]; mean_new[c] = momentum*mu[c] + (1
        - momentum)*mean[c]; variance_new[c] = (1 - momentum)*variance[c] + M*momentum*var[c]/Max(1, M - 1).
    Shapes: delta_y (M, C), delta_z_sum2 (C,); float32 or float64, C-contiguous.
    """
    T = delta_z_sum2.dtype.type
    M = delta_y.shape[0]
    for c in span(first, last):
        delta_z_sum2[c] = T(0)
    for m1 in range(M):
        for c in span(first, last):
            delta_z_sum2[c] += delta_y[m1, c]


def batch_norm_input_sensitivity(delta_y, delta_z_sum, delta_z_sum2, gamma, var, z_hat, delta_z, epsilon, first, last):
    r"""delta_z[m, c] = (delta_y[m, c] - delta_z_sum2[c]/M - delta_z_sum[c]*z_hat[m, c]/M)*gamma[c]/sqrt(epsilon +
        var[c])

    From mu[c] = sum_m z[m, c]/M; var[c] = sum_m (z[m, c] - mu[c])**2/M; z_hat[m, c] = (z[m, c] -
        mu[c])/sqrt(epsilon + var[c]); y[m, c] = gamma[c]*z_hat[m, c] + beta[c]; mean_new[c] = momentum*mu[c] + (1
        - momentum)*mean[c]; variance_new[c] = (1 - momentum)*variance[c] + M*momentum*var[c]/Max(1, M - 1).
    Documents: BN 2.3/2 (conditional, all sizes).
    Shapes: delta_y (M, C), delta_z_sum (C,), delta_z_sum2 (C,), gamma (C,), var (C,), z_hat (M, C), delta_z (M,
    C); float32 or float64, C-contiguous.
    """
    T = delta_z.dtype.type
    C = delta_z.shape[1]
    M = delta_z.shape[0]
    for m in range(first, last):
        for c in range(C):
            e = T(1) / T(M)
            delta_z[m, c] = (
                (delta_y[m, c] - e * delta_z_sum2[c] - e * delta_z_sum[c] * z_hat[m, c])
                * gamma[c]
                / sqrt(T(epsilon) + var[c])
            )


BATCH_NORM = Layer(
    name="batch_norm",
    inputs=("z[m, c]",),
    outputs=("y[m, c]",),
    parameters=("gamma[c]", "beta[c]"),
    storage=("gamma[c]", "beta[c]"),
    fan_in={},
    states=("mean[c]", "variance[c]"),
    initial={"gamma": 1.0, "variance": 1.0},
    buffers=("mu[c]", "var[c]", "z_hat[m, c]", "delta_z_sum[c]", "delta_z_sum2[c]"),
    settings={"epsilon": 1e-05, "momentum": 0.1},
    inference="batch_norm_inference",
    forward=(
        Kernel(
            batch_norm_mu,
            arguments=("z[m, c]", "mu[c]"),
            split="c",
            writes=("mu",),
        ),
        Kernel(
            batch_norm_var,
            arguments=("mu[c]", "z[m, c]", "var[c]"),
            split="c",
            writes=("var",),
        ),
        Kernel(
            batch_norm_forward,
            arguments=("mu[c]", "var[c]", "z[m, c]", "beta[c]", "gamma[c]", "z_hat[m, c]", "y[m, c]"),
            split="m",
            writes=("y", "z_hat"),
            scalars=("epsilon",),
        ),
        Kernel(
            batch_norm_variance_new,
            arguments=("z[m, c]", "mean[c]", "mu[c]", "var[c]", "variance[c]", "mean_new[c]", "variance_new[c]"),
            split="c",
            writes=("mean_new", "variance_new"),
            scalars=("momentum",),
        ),
    ),
    backward=(
        Kernel(
            batch_norm_beta_gradient,
            arguments=("delta_y[m, c]", "nabla_beta[c]"),
            split="c",
            writes=("nabla_beta",),
        ),
        Kernel(
            batch_norm_gamma_gradient,
            arguments=("delta_y[m, c]", "z_hat[m, c]", "nabla_gamma[c]"),
            split="c",
            writes=("nabla_gamma",),
        ),
        Kernel(
            batch_norm_delta_z_sum,
            arguments=("delta_y[m, c]", "z_hat[m, c]", "delta_z_sum[c]"),
            split="c",
            writes=("delta_z_sum",),
        ),
        Kernel(
            batch_norm_delta_z_sum2,
            arguments=("delta_y[m, c]", "delta_z_sum2[c]"),
            split="c",
            writes=("delta_z_sum2",),
        ),
        Kernel(
            batch_norm_input_sensitivity,
            arguments=(
                "delta_y[m, c]",
                "delta_z_sum[c]",
                "delta_z_sum2[c]",
                "gamma[c]",
                "var[c]",
                "z_hat[m, c]",
                "delta_z[m, c]",
            ),
            split="m",
            writes=("delta_z",),
            scalars=("epsilon",),
        ),
    ),
)
