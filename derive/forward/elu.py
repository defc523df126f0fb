"""Exponential linear unit (Clevert et al. 2015) with alpha = 1."""

from derive.notation import cases, exp, indices, otherwise, system, tensors

n, j = indices("n j")
z, a = tensors("z a")

with system("elu", inputs=[z[n, j]], outputs=[a[n, j]]) as elu:
    elu.a[n, j] = cases((z[n, j], z[n, j] > 0), (exp(z[n, j]) - 1, otherwise))
