"""Stairs, as in Darknet: flat from each even number to the next odd one, of slope 1 from there on; of slope 0 at integers.

With ``n = floor(z)`` Darknet's ramps are ``z - n + floor(n / 2)`` for an odd n; that is ``z + floor(floor(-z) / 2)``,
which loses nothing where z is near 0, and is above the flat part nowhere else.
"""

from derive.notation import cases, floor, indices, otherwise, system, tensors

n, j = indices("n j")
z, a = tensors("z a")

with system("stair", inputs=[z[n, j]], outputs=[a[n, j]]) as stair:
    flat, ramp = floor(floor(z[n, j]) / 2), z[n, j] + floor(floor(-z[n, j]) / 2)
    stair.a[n, j] = cases((ramp, ramp > flat), (flat, otherwise))
