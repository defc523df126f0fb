"""Logistic function: a probability from any real number."""

from derive.notation import exp, indices, system, tensors

n, j = indices("n j")
z, a = tensors("z a")

with system("logistic", inputs=[z[n, j]], outputs=[a[n, j]]) as logistic:
    logistic.a[n, j] = 1 / (1 + exp(-z[n, j]))
