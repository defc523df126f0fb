"""YOLOv2's output (Redmon & Farhadi 2017), as in Darknet: the box of each prediction p, its objectness, one of its classes k."""

from derive.notation import Sum, exp, indices, scalars, system, tensors

n, p, k = indices("n p k")
t_x, t_y, t_w, t_h, t_o, t_c = tensors("t_x t_y t_w t_h t_o t_c")
x, y, w, h, o, c = tensors("x y w h o c")  # what the cost is of
b_x, b_y, b_w, b_h = tensors("b_x b_y b_w b_h")  # the box, in shares of the image
column, row, anchor_w, anchor_h = tensors("column row anchor_w anchor_h")  # of the cell; of the anchor, in cells
lw, lh = scalars("lw lh")  # the grid in cells

with system(
    "region",
    inputs=[t_x[n, p], t_y[n, p], t_w[n, p], t_h[n, p], t_o[n, p], t_c[n, p, k]],
    constants=[column[p], row[p], anchor_w[p], anchor_h[p]],
    outputs=[
        *[b_x[n, p], b_y[n, p], b_w[n, p], b_h[n, p]],
        *[x[n, p], y[n, p], w[n, p], h[n, p], o[n, p], c[n, p, k]],
    ],
    settings={lw: None, lh: None},
) as region:
    region.x[n, p] = 1 / (1 + exp(-t_x[n, p]))
    region.y[n, p] = 1 / (1 + exp(-t_y[n, p]))
    region.w[n, p] = t_w[n, p]
    region.h[n, p] = t_h[n, p]
    region.o[n, p] = 1 / (1 + exp(-t_o[n, p]))
    region.g[n, p, k] = exp(t_c[n, p, k])
    region.s[n, p] = Sum(region.g[n, p, k], k)
    region.c[n, p, k] = region.g[n, p, k] / region.s[n, p]
    region.b_x[n, p] = (column[p] + region.x[n, p]) / lw
    region.b_y[n, p] = (row[p] + region.y[n, p]) / lh
    region.b_w[n, p] = anchor_w[p] * exp(t_w[n, p]) / lw
    region.b_h[n, p] = anchor_h[p] * exp(t_h[n, p]) / lh
