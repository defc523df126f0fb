"""Gaussian error linear unit (Hendrycks & Gimpel 2016): the input weighed by the normal distribution below it."""

from derive.notation import erf, indices, sqrt, system, tensors

n, j = indices("n j")
z, a = tensors("z a")

with system("gelu", inputs=[z[n, j]], outputs=[a[n, j]]) as gelu:
    gelu.a[n, j] = z[n, j] * (1 + erf(z[n, j] / sqrt(2))) / 2
