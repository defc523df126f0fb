"""Convolutional layer with stride, dilation and zero padding (LeCun et al. 1989); as the field has it, a cross-correlation."""

from derive.notation import Sum, counts, indices, size_of, system, tensors

n, o, c, p, q, u, v, i, j = indices("n o c p q u v i j")
a, w, b, z = tensors("a w b z")
P, Q, U, V, I, J = map(size_of, (p, q, u, v, i, j))
stride, dilation = counts("stride dilation", least=1)
top, bottom, left, right = counts("top bottom left right")  # rows and columns of zeros around the plane

with system(
    "convolution",
    inputs=[a[n, c, p, q]],
    parameters=[w[o, c, u, v], b[o]],
    outputs=[z[n, o, i, j]],
    settings={stride: 1, dilation: 1, top: 0, bottom: 0, left: 0, right: 0},
    sizes={
        I: (P + top + bottom - dilation * (U - 1) - 1) // stride + 1,
        J: (Q + left + right - dilation * (V - 1) - 1) // stride + 1,
    },
) as convolution:
    row, column = stride * i + dilation * u - top, stride * j + dilation * v - left
    convolution.z[n, o, i, j] = Sum(w[o, c, u, v] * a[n, c, row, column], c, u, v) + b[o]
