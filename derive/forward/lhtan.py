"""Leaky hard hyperbolic tangent, as in Darknet: the identity between 0 and 1, of slope 1/1000 there and beyond."""

from derive.notation import cases, indices, otherwise, system, tensors

n, j = indices("n j")
z, a = tensors("z a")

with system("lhtan", inputs=[z[n, j]], outputs=[a[n, j]]) as lhtan:
    lhtan.a[n, j] = cases(
        (z[n, j] / 1000, z[n, j] <= 0), ((z[n, j] - 1) / 1000 + 1, z[n, j] >= 1), (z[n, j], otherwise)
    )
