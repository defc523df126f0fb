"""YOLOv3's output (Redmon & Farhadi 2018), as in Darknet: the box of each prediction p, its objectness and its classes k."""

from derive.notation import exp, indices, scalars, system, tensors

n, p, k = indices("n p k")
t_x, t_y, t_w, t_h, t_o, t_c = tensors("t_x t_y t_w t_h t_o t_c")
x, y, w, h, o, c = tensors("x y w h o c")  # what the cost is of
b_x, b_y, b_w, b_h = tensors("b_x b_y b_w b_h")  # the box, in shares of the image
column, row, anchor_w, anchor_h = tensors("column row anchor_w anchor_h")  # of the cell; of the anchor, in pixels
lw, lh, net_w, net_h = scalars("lw lh net_w net_h")  # the grid in cells; the network's input in pixels

with system(
    "yolo",
    inputs=[t_x[n, p], t_y[n, p], t_w[n, p], t_h[n, p], t_o[n, p], t_c[n, p, k]],
    constants=[column[p], row[p], anchor_w[p], anchor_h[p]],
    outputs=[
        *[b_x[n, p], b_y[n, p], b_w[n, p], b_h[n, p]],
        *[x[n, p], y[n, p], w[n, p], h[n, p], o[n, p], c[n, p, k]],
    ],
    settings={lw: None, lh: None, net_w: None, net_h: None},
) as yolo:
    yolo.x[n, p] = 1 / (1 + exp(-t_x[n, p]))
    yolo.y[n, p] = 1 / (1 + exp(-t_y[n, p]))
    yolo.w[n, p] = t_w[n, p]
    yolo.h[n, p] = t_h[n, p]
    yolo.o[n, p] = 1 / (1 + exp(-t_o[n, p]))
    yolo.c[n, p, k] = 1 / (1 + exp(-t_c[n, p, k]))
    yolo.b_x[n, p] = (column[p] + yolo.x[n, p]) / lw
    yolo.b_y[n, p] = (row[p] + yolo.y[n, p]) / lh
    yolo.b_w[n, p] = anchor_w[p] * exp(t_w[n, p]) / net_w
    yolo.b_h[n, p] = anchor_h[p] * exp(t_h[n, p]) / net_h
