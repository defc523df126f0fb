"""Convolution of each channel by a filter of its own (Howard et al. 2017): as many groups as channels."""

from derive.notation import Sum, counts, indices, size_of, system, tensors

n, c, p, q, u, v, i, j = indices("n c p q u v i j")
a, w, b, z = tensors("a w b z")
P, Q, U, V, I, J = map(size_of, (p, q, u, v, i, j))
stride, dilation = counts("stride dilation", least=1)
top, bottom, left, right = counts("top bottom left right")  # rows and columns of zeros around the plane

with system(
    "depthwise_convolution",
    inputs=[a[n, c, p, q]],
    parameters=[w[c, u, v], b[c]],
    outputs=[z[n, c, i, j]],
    settings={stride: 1, dilation: 1, top: 0, bottom: 0, left: 0, right: 0},
    sizes={
        I: (P + top + bottom - dilation * (U - 1) - 1) // stride + 1,
        J: (Q + left + right - dilation * (V - 1) - 1) // stride + 1,
    },
) as depthwise_convolution:
    row, column = stride * i + dilation * u - top, stride * j + dilation * v - left
    depthwise_convolution.z[n, c, i, j] = Sum(w[c, u, v] * a[n, c, row, column], u, v) + b[c]
