"""Cross-entropy of independent yes-or-no targets t in [0, 1], each with its own predicted probability a."""

from derive.notation import Sum, indices, log, system, tensors

n, j = indices("n j")
a, t, C = tensors("a t C")

with system("logistic_cross_entropy", inputs=[a[n, j]], targets=[t[n, j]], outputs=[C[n]]) as logistic_cross_entropy:
    logistic_cross_entropy.C[n] = Sum(-t[n, j] * log(a[n, j]) - (1 - t[n, j]) * log(1 - a[n, j]), j)
