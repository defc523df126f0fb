"""Batch normalisation over the samples m of each feature c (Ioffe & Szegedy 2015, algorithm 1)."""

from derive.notation import Sum, indices, scalars, size_of, sqrt, system, tensors

m, c = indices("m c")
z, gamma, beta, y = tensors("z gamma beta y")
epsilon = scalars("epsilon")

with system(
    "batch_norm",
    inputs=[z[m, c]],
    parameters=[gamma[c], beta[c]],
    outputs=[y[m, c]],
    settings={epsilon: 1e-5},
    initial={gamma: 1},
) as batch_norm:
    batch_norm.mu[c] = Sum(z[m, c], m) / size_of(m)
    batch_norm.var[c] = Sum((z[m, c] - batch_norm.mu[c]) ** 2, m) / size_of(m)
    batch_norm.z_hat[m, c] = (z[m, c] - batch_norm.mu[c]) / sqrt(batch_norm.var[c] + epsilon)
    batch_norm.y[m, c] = gamma[c] * batch_norm.z_hat[m, c] + beta[c]
