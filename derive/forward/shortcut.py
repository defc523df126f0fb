"""Shortcut (He et al. 2016): the sum of two layers' outputs.

Where they differ in size, as in Darknet: channels that b lacks are zero, those that it has too many are left out, and of
larger planes each `stride`-th row and column is taken.
"""

from derive.notation import Eq, counts, indices, size_of, system, tensors

n, j, c, d, p, q, r, s = indices("n j c d p q r s")
a, b, z = tensors("a b z")
P, Q, R, S = map(size_of, (p, q, r, s))
stride = counts("stride", least=1)

with system("shortcut", inputs=[a[n, j], b[n, j]], outputs=[z[n, j]], forms=["shortcut_unequal"]) as shortcut:
    shortcut.z[n, j] = a[n, j] + b[n, j]

with system(
    "shortcut_unequal",
    inputs=[a[n, c, p, q], b[n, d, r, s]],
    outputs=[z[n, c, p, q]],
    settings={stride: 1},
    sizes={stride: (R + P - 1) // P},
    given=[Eq(P, (R - 1) // stride + 1), Eq(Q, (S - 1) // stride + 1)],
) as shortcut_unequal:
    shortcut_unequal.z[n, c, p, q] = a[n, c, p, q] + b[n, c, stride * p, stride * q]
