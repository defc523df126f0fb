"""Logistic function between -1 and 1, as in Darknet: the hyperbolic tangent of half the input."""

from derive.notation import exp, indices, system, tensors

n, j = indices("n j")
z, a = tensors("z a")

with system("loggy", inputs=[z[n, j]], outputs=[a[n, j]]) as loggy:
    loggy.a[n, j] = 2 / (1 + exp(-z[n, j])) - 1
