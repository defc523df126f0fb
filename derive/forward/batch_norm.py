"""Batch normalisation over the samples m of each channel c (Ioffe & Szegedy 2015, algorithms 1 and 2).

In training by the mini-batch's own mean and variance; the running ones, which stand in for them in use, move towards them
by the share `momentum`, the variance without bias, as PyTorch has it. On planes m counts samples and places.
"""

from derive.notation import Max, Sum, indices, scalars, size_of, sqrt, system, tensors

m, c = indices("m c")
z, gamma, beta, mean, variance, y = tensors("z gamma beta mean variance y")
epsilon, momentum = scalars("epsilon momentum")
M = size_of(m)

with system(
    "batch_norm",
    inputs=[z[m, c]],
    parameters=[gamma[c], beta[c]],
    states=[mean[c], variance[c]],
    outputs=[y[m, c]],
    settings={epsilon: 1e-5, momentum: 0.1},
    initial={gamma: 1, variance: 1},
    inference="batch_norm_inference",
) as batch_norm:
    batch_norm.mu[c] = Sum(z[m, c], m) / M
    batch_norm.var[c] = Sum((z[m, c] - batch_norm.mu[c]) ** 2, m) / M
    batch_norm.z_hat[m, c] = (z[m, c] - batch_norm.mu[c]) / sqrt(batch_norm.var[c] + epsilon)
    batch_norm.y[m, c] = gamma[c] * batch_norm.z_hat[m, c] + beta[c]
    batch_norm.mean_new[c] = (1 - momentum) * mean[c] + momentum * batch_norm.mu[c]
    batch_norm.variance_new[c] = (1 - momentum) * variance[c] + momentum * batch_norm.var[c] * M / Max(M - 1, 1)
