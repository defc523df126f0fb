"""Batch normalisation as in Darknet's C for the CPU: epsilon stands beside the deviation, sqrt(var) + epsilon.

In training by the mini-batch's own mean and variance, the variance without bias (M - 1); the running ones, which
stand in for them in use, move towards them by the share `momentum`. On planes m counts samples and places. Facts:
pjreddie/darknet, src/batchnorm_layer.c and src/blas.c (Ioffe & Szegedy 2015 have sqrt(var + epsilon), and M).
"""

from derive.notation import Max, Sum, indices, scalars, size_of, sqrt, system, tensors

m, c = indices("m c")
z, gamma, beta, mean, variance, y = tensors("z gamma beta mean variance y")
epsilon, momentum = scalars("epsilon momentum")
M = size_of(m)

with system(
    "batch_norm_darknet",
    inputs=[z[m, c]],
    parameters=[gamma[c], beta[c]],
    states=[mean[c], variance[c]],
    outputs=[y[m, c]],
    settings={epsilon: 1e-6, momentum: 0.01},
    initial={gamma: 1, variance: 1},
    inference="batch_norm_darknet_inference",
) as bn:
    bn.mu[c] = Sum(z[m, c], m) / M
    bn.var[c] = Sum((z[m, c] - bn.mu[c]) ** 2, m) / Max(M - 1, 1)
    bn.z_hat[m, c] = (z[m, c] - bn.mu[c]) / (sqrt(bn.var[c]) + epsilon)
    bn.y[m, c] = gamma[c] * bn.z_hat[m, c] + beta[c]
    bn.mean_new[c] = (1 - momentum) * mean[c] + momentum * bn.mu[c]
    bn.variance_new[c] = (1 - momentum) * variance[c] + momentum * bn.var[c]
