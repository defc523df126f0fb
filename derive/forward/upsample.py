"""Nearest upsampling: every unit of a plane becomes `stride` by `stride` equal ones."""

from derive.notation import counts, indices, size_of, system, tensors

n, c, p, q, i, j = indices("n c p q i j")
a, z = tensors("a z")
P, Q, I, J = map(size_of, (p, q, i, j))
stride = counts("stride", least=1)

with system(
    "upsample",
    inputs=[a[n, c, p, q]],
    outputs=[z[n, c, i, j]],
    settings={stride: 2},
    sizes={I: stride * P, J: stride * Q},
) as upsample:
    upsample.z[n, c, i, j] = a[n, c, i // stride, j // stride]
