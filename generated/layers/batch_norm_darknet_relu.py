"""Batch normalisation as in Darknet's C for the CPU: epsilon stands beside the deviation, sqrt(var) + epsilon.

In training by the mini-batch's own mean and variance, the variance without bias (M - 1); the running ones, which
stand in for them in use, move towards them by the share `momentum`. On planes m counts samples and places. Facts:
pjreddie/darknet, src/batchnorm_layer.c and src/blas.c (Ioffe & Szegedy 2015 have sqrt(var + epsilon), and M).
Rectified linear unit; its slope at 0 is 0.

Forward equations:

    mu[c] = sum_m z[m, c]/M
    var[c] = sum_m (z[m, c] - mu[c])**2/Max(1, M - 1)
    z_hat[m, c] = (z[m, c] - mu[c])/(epsilon + sqrt(var[c]))
    y[m, c] = gamma[c]*z_hat[m, c] + beta[c]
    mean_new[c] = momentum*mu[c] + (1 - momentum)*mean[c]
    variance_new[c] = momentum*var[c] + (1 - momentum)*variance[c]
    a[m, c] = {y[m, c] if y[m, c] > 0; 0 otherwise}

Derived from them:

    delta_y[m, c] = {delta_a[m, c] if y[m, c] > 0; 0 otherwise}
    nabla_beta[c] = sum_m delta_y[m, c]
    nabla_gamma[c] = sum_m delta_y[m, c]*z_hat[m, c]
    delta_z_sum[c] = sum_m1 delta_y[m1, c]*z_hat[m1, c]
    delta_z_sum2[c] = sum_m1 delta_y[m1, c]
    delta_z[m, c] = (delta_y[m, c] - delta_z_sum2[c]/M - (z[m, c] - mu[c])*delta_z_sum[c]/(sqrt(var[c])*Max(1, M -
        1)))*gamma[c]/(epsilon + sqrt(var[c]))

Written by ``derive generate``; change the definition, not this file.
"""

from numpy import sqrt

from ..definition import Layer
from ..lanes import ahead_in_part, double, fma, lanes, where
from ..program import Kernel


def batch_norm_darknet_relu_z_first(z, z_first, first, last):
    r"""z_first[c] = z[0, c]

    Shapes: z (M, C), z_first (C,); float32 or float64, C-contiguous.
    """
    for c in range(first, last):
        z_first[c] = z[0, c]


def batch_norm_darknet_relu_var_part(z, z_first, mu_shifted_part, var_part, first, last):
    r"""mu_shifted_part[g, c] = sum_(1024*g <= m <= Min(M - 1, 1023 + 1024*g)) (z[m, c] - z_first[c])
    var_part[g, c] = sum_(1024*g <= m <= Min(M - 1, 1023 + 1024*g)) (z[m, c] - z_first[c])**2

    Shapes: z (M, C), z_first (C,), mu_shifted_part (G, C), var_part (G, C); float32 or float64, mu_shifted_part,
    var_part float64, C-contiguous.
    """
    T = z_first.dtype.type
    C = z_first.shape[0]
    M = z.shape[0]
    for g in range(first, last):
        last_step = min(M - 1, 1024 * g + 1023) // 8 + 1 - 128 * g
        for c in lanes(C):
            total = 0.0
            total1 = 0.0
            for step in range(last_step):
                few = T(0)
                few1 = T(0)
                for m in range(8 * step + 1024 * g, min(M, 1024 * g + 1024, 8 * step + 1024 * g + 8)):
                    ahead_in_part(z, (m + 8, c))
                    e = z[m, c] - z_first[c]
                    few += e
                    few1 = fma(e, e, few1)
                total += double(few)
                total1 += double(few1)
            mu_shifted_part[g, c] = total
            var_part[g, c] = total1


def batch_norm_darknet_relu_a_of_gamma_var(
    z,
    mu_shifted_part,
    z_first,
    var_part,
    mean,
    variance,
    gamma,
    mu_shifted,
    var,
    mean_new,
    variance_new,
    a_of_gamma_var,
    epsilon,
    momentum,
    first,
    last,
):
    r"""mu_shifted[c] = sum_g mu_shifted_part[g, c]/M
    mu[c] = mu_shifted[c] + z_first[c]
    var[c] = sum_g var_part[g, c]/Max(1, M - 1) - M*mu_shifted[c]**2/Max(1, M - 1)
    mean_new[c] = momentum*mu[c] + (1 - momentum)*mean[c]
    variance_new[c] = momentum*var[c] + (1 - momentum)*variance[c]
    a_of_gamma_var[c] = gamma[c]/(epsilon + sqrt(var[c]))

    Stable form of var[c] = sum_m (z[m, c] - mu[c])**2/Max(1, M - 1); mean_new[c] = momentum*mu[c] + (1 -
        momentum)*mean[c]; variance_new[c] = momentum*var[c] + (1 - momentum)*variance[c].
    Shapes: z (M, C), mu_shifted_part (G, C), z_first (C,), var_part (G, C), mean (C,), variance (C,), gamma (C,),
    mu_shifted (C,), var (C,), mean_new (C,), variance_new (C,), a_of_gamma_var (C,); float32 or float64,
    mu_shifted_part, var_part float64, C-contiguous.
    """
    T = a_of_gamma_var.dtype.type
    G = var_part.shape[0]
    M = z.shape[0]
    c1 = T(1 / max(M - 1, 1))
    c2 = T(1 - momentum)
    for c in range(first, last):
        total = T(0)
        for g in range(G):
            total += mu_shifted_part[g, c]
        mu_shifted_double = total / T(M)
        mu_shifted[c] = mu_shifted_double
        mu = mu_shifted_double + z_first[c]
        total1 = T(0)
        for g in range(G):
            total1 += var_part[g, c]
        var_double = c1 * total1 - c1 * T(M) * mu_shifted_double * mu_shifted_double
        var[c] = var_double
        mean_new[c] = c2 * mean[c] + T(momentum) * mu
        variance_new[c] = c2 * variance[c] + T(momentum) * var_double
        a_of_gamma_var[c] = gamma[c] / (T(epsilon) + sqrt(var_double))


def batch_norm_darknet_relu_forward(a_of_gamma_var, beta, mu_shifted, z, z_first, a, first, last):
    r"""a[m, c] = {a_of_gamma_var[c]*((z[m, c] - z_first[c]) - mu_shifted[c]) + beta[c] if a_of_gamma_var[c]*((z[m, c]
        - z_first[c]) - mu_shifted[c]) + beta[c] > 0; 0 otherwise}

    Stable form of a[m, c] = {y[m, c] if y[m, c] > 0; 0 otherwise}.
    Shapes: a_of_gamma_var (C,), beta (C,), mu_shifted (C,), z (M, C), z_first (C,), a (M, C); float32 or float64,
    C-contiguous.
    """
    T = a.dtype.type
    C = a.shape[1]
    for m in range(first, last):
        for c in lanes(C):
            e = fma(a_of_gamma_var[c], (z[m, c] - z_first[c]) - mu_shifted[c], beta[c])
            a[m, c] = where(e > T(0), e, T(0))


def batch_norm_darknet_relu_delta_z_sum_part(
    a_of_gamma_var, beta, delta_a, mu_shifted, z, z_first, delta_z_sum2_part, delta_z_sum_part, first, last
):
    r"""delta_z_sum2_part[g, c] = sum_(1024*g <= m1 <= Min(M - 1, 1023 + 1024*g)) {delta_a[m1, c] if
        a_of_gamma_var[c]*((z[m1, c] - z_first[c]) - mu_shifted[c]) + beta[c] > 0; 0 otherwise}
    delta_z_sum_part[g, c] = sum_(1024*g <= m1 <= Min(M - 1, 1023 + 1024*g)) {delta_a[m1, c] if
        a_of_gamma_var[c]*((z[m1, c] - z_first[c]) - mu_shifted[c]) + beta[c] > 0; 0 otherwise}*((z[m1, c] -
        z_first[c]) - mu_shifted[c])

    Shapes: a_of_gamma_var (C,), beta (C,), delta_a (M, C), mu_shifted (C,), z (M, C), z_first (C,),
    delta_z_sum2_part (G, C), delta_z_sum_part (G, C); float32 or float64, delta_z_sum2_part, delta_z_sum_part
    float64, C-contiguous.
    """
    T = z_first.dtype.type
    C = z_first.shape[0]
    M = z.shape[0]
    for g in range(first, last):
        last_step = min(M - 1, 1024 * g + 1023) // 8 + 1 - 128 * g
        for c in lanes(C):
            total = 0.0
            total1 = 0.0
            for step in range(last_step):
                few = T(0)
                few1 = T(0)
                for m1 in range(8 * step + 1024 * g, min(M, 1024 * g + 1024, 8 * step + 1024 * g + 8)):
                    ahead_in_part(delta_a, (m1 + 8, c))
                    ahead_in_part(z, (m1 + 8, c))
                    p = (z[m1, c] - z_first[c]) - mu_shifted[c]
                    e = fma(p, a_of_gamma_var[c], beta[c])
                    q = where(e > T(0), delta_a[m1, c], T(0))
                    few += q
                    few1 = fma(p, q, few1)
                total += double(few)
                total1 += double(few1)
            delta_z_sum2_part[g, c] = total
            delta_z_sum_part[g, c] = total1


def batch_norm_darknet_relu_delta_z_of_delta_z_sum_var(
    z,
    delta_z_sum2_part,
    delta_z_sum_part,
    var,
    delta_z_sum2,
    delta_z_sum,
    delta_z_of_delta_z_sum2,
    delta_z_of_delta_z_sum_var,
    epsilon,
    first,
    last,
):
    r"""delta_z_sum2[c] = sum_g delta_z_sum2_part[g, c]
    delta_z_sum[c] = sum_g delta_z_sum_part[g, c]/(epsilon + sqrt(var[c]))
    delta_z_of_delta_z_sum2[c] = delta_z_sum2[c]/M
    delta_z_of_delta_z_sum_var[c] = {1/sqrt(var[c]) if var[c] > 0; 0 otherwise}*delta_z_sum[c]/Max(1, M - 1)

    From mu[c] = sum_m z[m, c]/M; var[c] = sum_m (z[m, c] - mu[c])**2/Max(1, M - 1); z_hat[m, c] = (z[m, c] -
        mu[c])/(epsilon + sqrt(var[c])); y[m, c] = gamma[c]*z_hat[m, c] + beta[c]; a[m, c] = {y[m, c] if y[m, c] >
        0; 0 otherwise}.
    Shapes: z (M, C), delta_z_sum2_part (G, C), delta_z_sum_part (G, C), var (C,), delta_z_sum2 (C,), delta_z_sum
    (C,), delta_z_of_delta_z_sum2 (C,), delta_z_of_delta_z_sum_var (C,); float32 or float64, delta_z_sum2_part,
    delta_z_sum_part float64, C-contiguous.
    """
    T = delta_z_of_delta_z_sum_var.dtype.type
    G = delta_z_sum_part.shape[0]
    M = z.shape[0]
    c1 = T(1 / max(M - 1, 1))
    for c in range(first, last):
        total = T(0)
        for g in range(G):
            total += delta_z_sum2_part[g, c]
        delta_z_sum2_double = total
        delta_z_sum2[c] = delta_z_sum2_double
        total1 = T(0)
        for g in range(G):
            total1 += delta_z_sum_part[g, c]
        delta_z_sum_double = total1 / (T(epsilon) + sqrt(var[c]))
        delta_z_sum[c] = delta_z_sum_double
        delta_z_of_delta_z_sum2[c] = delta_z_sum2_double / T(M)
        delta_z_of_delta_z_sum_var[c] = c1 * (T(1) / sqrt(var[c]) if var[c] > T(0) else T(0)) * delta_z_sum_double


def batch_norm_darknet_relu_gamma_gradient(delta_z_sum2, delta_z_sum, nabla_beta, nabla_gamma, first, last):
    r"""nabla_beta[c] = delta_z_sum2[c]
    nabla_gamma[c] = delta_z_sum[c]

    From mu[c] = sum_m z[m, c]/M; var[c] = sum_m (z[m, c] - mu[c])**2/Max(1, M - 1); z_hat[m, c] = (z[m, c] -
        mu[c])/(epsilon + sqrt(var[c])); y[m, c] = gamma[c]*z_hat[m, c] + beta[c]; a[m, c] = {y[m, c] if y[m, c] >
        0; 0 otherwise}.
    Shapes: delta_z_sum2 (C,), delta_z_sum (C,), nabla_beta (C,), nabla_gamma (C,); float32 or float64,
    C-contiguous.
    """
    for c in range(first, last):
        nabla_beta[c] = delta_z_sum2[c]
        nabla_gamma[c] = delta_z_sum[c]


def batch_norm_darknet_relu_input_sensitivity(
    a_of_gamma_var,
    beta,
    delta_a,
    delta_z_of_delta_z_sum2,
    delta_z_of_delta_z_sum_var,
    mu_shifted,
    z,
    z_first,
    delta_z,
    first,
    last,
):
    r"""delta_z[m, c] = a_of_gamma_var[c]*({delta_a[m, c] if a_of_gamma_var[c]*((z[m, c] - z_first[c]) -
        mu_shifted[c]) + beta[c] > 0; 0 otherwise} - delta_z_of_delta_z_sum2[c] -
        delta_z_of_delta_z_sum_var[c]*((z[m, c] - z_first[c]) - mu_shifted[c]))

    From mu[c] = sum_m z[m, c]/M; var[c] = sum_m (z[m, c] - mu[c])**2/Max(1, M - 1); z_hat[m, c] = (z[m, c] -
        mu[c])/(epsilon + sqrt(var[c])); y[m, c] = gamma[c]*z_hat[m, c] + beta[c]; a[m, c] = {y[m, c] if y[m, c] >
        0; 0 otherwise}.
    Shapes: a_of_gamma_var (C,), beta (C,), delta_a (M, C), delta_z_of_delta_z_sum2 (C,),
    delta_z_of_delta_z_sum_var (C,), mu_shifted (C,), z (M, C), z_first (C,), delta_z (M, C); float32 or float64,
    C-contiguous.
    """
    T = delta_z.dtype.type
    C = delta_z.shape[1]
    for m in range(first, last):
        for c in lanes(C):
            p = (z[m, c] - z_first[c]) - mu_shifted[c]
            e = fma(p, a_of_gamma_var[c], beta[c])
            delta_z[m, c] = (
                fma(
                    -p, delta_z_of_delta_z_sum_var[c], where(e > T(0), delta_a[m, c], T(0)) - delta_z_of_delta_z_sum2[c]
                )
            ) * a_of_gamma_var[c]


BATCH_NORM_DARKNET_RELU = Layer(
    name="batch_norm_darknet_relu",
    inputs=("z[m, c]",),
    outputs=("a[m, c]",),
    parameters=("gamma[c]", "beta[c]"),
    storage=("gamma[c]", "beta[c]"),
    fan_in={},
    states=("mean[c]", "variance[c]"),
    initial={"gamma": 1.0, "variance": 1.0},
    buffers=(
        "a_of_gamma_var[c]",
        "mu_shifted[c]",
        "mu_shifted_part[g, c]: float64",
        "var[c]",
        "var_part[g, c]: float64",
        "z_first[c]",
        "delta_z_of_delta_z_sum2[c]",
        "delta_z_of_delta_z_sum_var[c]",
        "delta_z_sum[c]",
        "delta_z_sum2[c]",
        "delta_z_sum2_part[g, c]: float64",
        "delta_z_sum_part[g, c]: float64",
    ),
    groups={"g": ("m", 1024)},
    settings={"epsilon": 1e-06, "momentum": 0.01},
    fuses=("batch_norm_darknet", "relu"),
    forward=(
        Kernel(
            batch_norm_darknet_relu_z_first,
            arguments=("z[m, c]", "z_first[c]"),
            split="c",
            writes=("z_first",),
        ),
        Kernel(
            batch_norm_darknet_relu_var_part,
            arguments=("z[m, c]", "z_first[c]", "mu_shifted_part[g, c]: float64", "var_part[g, c]: float64"),
            split="g",
            writes=("mu_shifted_part", "var_part"),
            lane="c",
        ),
        Kernel(
            batch_norm_darknet_relu_a_of_gamma_var,
            arguments=(
                "z[m, c]",
                "mu_shifted_part[g, c]: float64",
                "z_first[c]",
                "var_part[g, c]: float64",
                "mean[c]",
                "variance[c]",
                "gamma[c]",
                "mu_shifted[c]",
                "var[c]",
                "mean_new[c]",
                "variance_new[c]",
                "a_of_gamma_var[c]",
            ),
            split="c",
            writes=("a_of_gamma_var", "mean_new", "mu_shifted", "var", "variance_new"),
            scalars=("epsilon", "momentum"),
        ),
        Kernel(
            batch_norm_darknet_relu_forward,
            arguments=("a_of_gamma_var[c]", "beta[c]", "mu_shifted[c]", "z[m, c]", "z_first[c]", "a[m, c]"),
            split="m",
            writes=("a",),
            lane="c",
        ),
    ),
    backward=(
        Kernel(
            batch_norm_darknet_relu_delta_z_sum_part,
            arguments=(
                "a_of_gamma_var[c]",
                "beta[c]",
                "delta_a[m, c]",
                "mu_shifted[c]",
                "z[m, c]",
                "z_first[c]",
                "delta_z_sum2_part[g, c]: float64",
                "delta_z_sum_part[g, c]: float64",
            ),
            split="g",
            writes=("delta_z_sum2_part", "delta_z_sum_part"),
            lane="c",
        ),
        Kernel(
            batch_norm_darknet_relu_delta_z_of_delta_z_sum_var,
            arguments=(
                "z[m, c]",
                "delta_z_sum2_part[g, c]: float64",
                "delta_z_sum_part[g, c]: float64",
                "var[c]",
                "delta_z_sum2[c]",
                "delta_z_sum[c]",
                "delta_z_of_delta_z_sum2[c]",
                "delta_z_of_delta_z_sum_var[c]",
            ),
            split="c",
            writes=("delta_z_of_delta_z_sum2", "delta_z_of_delta_z_sum_var", "delta_z_sum", "delta_z_sum2"),
            scalars=("epsilon",),
        ),
        Kernel(
            batch_norm_darknet_relu_gamma_gradient,
            arguments=("delta_z_sum2[c]", "delta_z_sum[c]", "nabla_beta[c]", "nabla_gamma[c]"),
            split="c",
            writes=("nabla_beta", "nabla_gamma"),
        ),
        Kernel(
            batch_norm_darknet_relu_input_sensitivity,
            arguments=(
                "a_of_gamma_var[c]",
                "beta[c]",
                "delta_a[m, c]",
                "delta_z_of_delta_z_sum2[c]",
                "delta_z_of_delta_z_sum_var[c]",
                "mu_shifted[c]",
                "z[m, c]",
                "z_first[c]",
                "delta_z[m, c]",
            ),
            split="m",
            writes=("delta_z",),
            lane="c",
        ),
    ),
)
