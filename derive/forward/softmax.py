"""Softmax: exponentials as shares of their sum, a distribution over the classes j of each sample."""

from derive.notation import Sum, exp, indices, system, tensors

n, j = indices("n j")
z, a = tensors("z a")

with system("softmax", inputs=[z[n, j]], outputs=[a[n, j]]) as softmax:
    softmax.e[n, j] = exp(z[n, j])
    softmax.s[n] = Sum(softmax.e[n, j], j)
    softmax.a[n, j] = softmax.e[n, j] / softmax.s[n]
