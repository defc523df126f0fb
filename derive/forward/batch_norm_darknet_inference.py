"""Batch normalisation as in Darknet's C, in use: by the running mean and variance of training (its src/blas.c)."""

from derive.notation import indices, scalars, sqrt, system, tensors

m, c = indices("m c")
z, gamma, beta, mean, variance, y = tensors("z gamma beta mean variance y")
epsilon = scalars("epsilon")

with system(
    "batch_norm_darknet_inference",
    inputs=[z[m, c]],
    parameters=[gamma[c], beta[c]],
    states=[mean[c], variance[c]],
    outputs=[y[m, c]],
    settings={epsilon: 1e-6},
    initial={gamma: 1, variance: 1},
) as bn:
    bn.y[m, c] = gamma[c] * (z[m, c] - mean[c]) / (sqrt(variance[c]) + epsilon) + beta[c]
