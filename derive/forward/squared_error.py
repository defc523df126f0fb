"""Squared error of a sample: the squared distance between output and target."""

from derive.notation import Sum, indices, system, tensors

n, j = indices("n j")
a, y, C = tensors("a y C")

with system("squared_error", inputs=[a[n, j]], targets=[y[n, j]], outputs=[C[n]]) as squared_error:
    squared_error.C[n] = Sum((a[n, j] - y[n, j]) ** 2, j)
