"""Piecewise linear logistic function, as in Darknet: slope 1/8 from -4 to 4, both included, and 1/100 beyond."""

from derive.notation import cases, indices, otherwise, system, tensors

n, j = indices("n j")
z, a = tensors("z a")

with system("plse", inputs=[z[n, j]], outputs=[a[n, j]]) as plse:
    plse.a[n, j] = cases(
        ((z[n, j] + 4) / 100, z[n, j] < -4), ((z[n, j] - 4) / 100 + 1, z[n, j] > 4), (z[n, j] / 8 + 1 / 2, otherwise)
    )
