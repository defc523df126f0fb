"""Global average pooling (Lin et al. 2014): the mean over each plane."""

from derive.notation import Sum, indices, size_of, system, tensors

n, c, p, q = indices("n c p q")
a, z = tensors("a z")

with system("global_average_pooling", inputs=[a[n, c, p, q]], outputs=[z[n, c]]) as global_average_pooling:
    global_average_pooling.z[n, c] = Sum(a[n, c, p, q], p, q) / (size_of(p) * size_of(q))
