"""Fully-connected layer: every unit weighs every input and adds its bias."""

from derive.notation import Sum, indices, system, tensors

n, j, k = indices("n j k")
a, w, b, z = tensors("a w b z")

with system("dense", inputs=[a[n, k]], parameters=[w[j, k], b[j]], outputs=[z[n, j]]) as dense:
    dense.z[n, j] = Sum(w[j, k] * a[n, k], k) + b[j]
