"""Mish (Misra 2019): a smooth rectifier, the input weighed by the hyperbolic tangent of its softplus."""

from derive.notation import exp, indices, log, system, tanh, tensors

n, j = indices("n j")
z, a = tensors("z a")

with system("mish", inputs=[z[n, j]], outputs=[a[n, j]]) as mish:
    mish.a[n, j] = z[n, j] * tanh(log(1 + exp(z[n, j])))
