"""Reorg, as in Darknet: `stride` times fewer rows and columns, `stride` squared times the channels, no value lost.

This is what Darknet's loop does, not what the layer's name says. Of stride^2 channels that follow each other it puts the
rows below each other, and takes them in pieces of `stride` rows; h says which piece of each `stride`, and which column,
the new channel begins with; what it has then is cut into channels anew. Facts: pjreddie/darknet, reorg_cpu in src/blas.c
as forward_reorg_layer in src/reorg_layer.c calls it.
"""

from derive.notation import Eq, counts, indices, size_of, system, tensors

n, c, p, q, d, i, j, f, g, h, k, r, s, x = indices("n c p q d i j f g h k r s x")
a, z = tensors("a z")
C, P, Q, D, I, J, F, G, H, K, R, S, X = map(size_of, (c, p, q, d, i, j, f, g, h, k, r, s, x))
stride = counts("stride", least=1)

with system(
    "reorg",
    inputs=[a[n, c, p, q]],
    outputs=[z[n, d, i, j]],
    settings={stride: 2},
    sizes={
        F: stride**2, G: C // stride**2, H: stride**2, K: G * H, D: K * F,
        X: stride * P, S: stride, R: P, I: P // stride, J: Q // stride,
    },
    given=[Eq(C, G * F), Eq(P, I * stride), Eq(Q, J * stride)],
) as reorg:  # fmt: skip
    reorg.grouped[n, g, f, p, q] = a[n, stride**2 * g + f, p, q]
    reorg.pieces[n, g, x, s, q] = reorg.grouped[n, g, (stride * x + s) // P, (stride * x + s) % P, q]
    reorg.strided[n, h, g, r, s, j] = reorg.pieces[n, g, stride * r + h // stride, s, stride * j + h % stride]
    reorg.channels[n, k, r, s, j] = reorg.strided[n, k // G, k % G, r, s, j]
    line = I * (d % stride**2) + i
    reorg.z[n, d, i, j] = reorg.channels[n, d // stride**2, line // stride, line % stride, j]
