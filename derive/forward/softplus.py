"""Softplus: a smooth rectifier, whose slope is the logistic function."""

from derive.notation import exp, indices, log, system, tensors

n, j = indices("n j")
z, a = tensors("z a")

with system("softplus", inputs=[z[n, j]], outputs=[a[n, j]]) as softplus:
    softplus.a[n, j] = log(1 + exp(z[n, j]))
