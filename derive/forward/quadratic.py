"""Quadratic cost of a sample: half the squared distance between target and output."""

from derive.notation import Sum, indices, system, tensors

n, j = indices("n j")
a, y, C = tensors("a y C")

with system("quadratic", inputs=[a[n, j]], targets=[y[n, j]], outputs=[C[n]]) as quadratic:
    quadratic.C[n] = Sum((y[n, j] - a[n, j]) ** 2, j) / 2
