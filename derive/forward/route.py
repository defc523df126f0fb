"""Route, as in Darknet: the channels of several layers one after the other, or one group of the channels of a single one."""

from derive.notation import Eq, counts, indices, size_of, system, tensors

n, c, d, e, f, g, p, q = indices("n c d e f g p q")
a, b, x, y, z = tensors("a b x y z")
C, D, E, F, G = map(size_of, (c, d, e, f, g))
groups, group_id = counts("groups", least=1), counts("group_id")

with system(
    "route",
    inputs=[a[n, d, p, q]],
    outputs=[z[n, c, p, q]],
    settings={groups: 1, group_id: 0},
    sizes={C: D // groups},
    given=[Eq(D, groups * C), group_id < groups],
    forms=["route_2", "route_3", "route_4"],
) as route:
    route.z[n, c, p, q] = a[n, group_id * C + c, p, q]

with system("route_2", inputs=[a[n, d, p, q], b[n, e, p, q]], outputs=[z[n, c, p, q]], sizes={C: D + E}) as route_2:
    route_2.z[n, c, p, q] = a[n, c, p, q] + b[n, c - D, p, q]

with system(
    "route_3",
    inputs=[a[n, d, p, q], b[n, e, p, q], x[n, f, p, q]],
    outputs=[z[n, c, p, q]],
    sizes={C: D + E + F},
) as route_3:
    route_3.z[n, c, p, q] = a[n, c, p, q] + b[n, c - D, p, q] + x[n, c - D - E, p, q]

with system(
    "route_4",
    inputs=[a[n, d, p, q], b[n, e, p, q], x[n, f, p, q], y[n, g, p, q]],
    outputs=[z[n, c, p, q]],
    sizes={C: D + E + F + G},
) as route_4:
    route_4.z[n, c, p, q] = a[n, c, p, q] + b[n, c - D, p, q] + x[n, c - D - E, p, q] + y[n, c - D - E - F, p, q]
