"""Reorg, as in Darknet: planes of fewer rows and columns, `stride` squared times the channels; no value lost or changed.

Darknet (pjreddie/darknet, src/blas.c, with reverse=0) takes the values of a sample, as they lie, for C / stride^2
planes that are `stride` times as high and as wide. Their blocks are of stride by stride units, each of which has channels
of its own in planes v of the input's sizes; the values of these, as they lie, are then taken for the output.
"""

from derive.notation import Eq, counts, indices, size_of, system, tensors

n, c, p, q, d, i, j = indices("n c p q d i j")
a, v, z = tensors("a v z")
C, P, Q, D, I, J = map(size_of, (c, p, q, d, i, j))
stride = counts("stride", least=1)

with system(
    "reorg",
    inputs=[a[n, c, p, q]],
    outputs=[z[n, d, i, j]],
    settings={stride: 2},
    sizes={D: C * stride**2, I: P // stride, J: Q // stride},
    given=[Eq(C, C // stride**2 * stride**2), Eq(P, P // stride * stride), Eq(Q, Q // stride * stride)],
) as reorg:
    plane, unit = c % (C // stride**2), c // (C // stride**2)
    high, wide = (
        p * stride + unit // stride,
        q * stride + unit % stride,
    )  # in a large plane: its rows are several of a's
    line = high * stride + wide // Q
    reorg.v[n, c, p, q] = a[n, plane * stride**2 + line // P, line % P, wide % Q]
    line = d % stride**2 * I + i  # of the stride^2 planes of z that are one of v, whose rows are several of z's
    reorg.z[n, d, i, j] = v[n, d // stride**2, line // stride, line % stride * J + j]
