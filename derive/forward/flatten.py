"""Flattening: of planes that lie with their channels c last, behind the places r, one row with the channels first.

In it the units stand as elsewhere outside: channel by channel, row by row.
"""

from derive.notation import indices, system, tensors

n, c, r = indices("n c r")
z, a = tensors("z a")

with system("flatten", inputs=[z[n, r, c]], outputs=[a[n, c, r]]) as flatten:
    flatten.a[n, c, r] = z[n, r, c]
