"""Batch normalisation in use: by the running mean and variance of training (Ioffe & Szegedy 2015, algorithm 2)."""

from derive.notation import indices, scalars, sqrt, system, tensors

m, c = indices("m c")
z, gamma, beta, mean, variance, y = tensors("z gamma beta mean variance y")
epsilon = scalars("epsilon")

with system(
    "batch_norm_inference",
    inputs=[z[m, c]],
    parameters=[gamma[c], beta[c]],
    states=[mean[c], variance[c]],
    outputs=[y[m, c]],
    settings={epsilon: 1e-5},
    initial={gamma: 1, variance: 1},
) as batch_norm_inference:
    batch_norm_inference.y[m, c] = gamma[c] * (z[m, c] - mean[c]) / sqrt(variance[c] + epsilon) + beta[c]
