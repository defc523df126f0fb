"""Scaled exponential linear unit (Klambauer et al. 2017) with Darknet's constants; its slope at 0 is that on the right.

The paper's have more digits: a scale of 1.0507009873554805 and an alpha of 1.6732632423543772.
"""

from derive.notation import cases, exp, indices, otherwise, scalars, system, tensors

n, j = indices("n j")
z, a = tensors("z a")
scale, alpha = scalars("scale alpha")

with system("selu", inputs=[z[n, j]], outputs=[a[n, j]], settings={scale: 1.0507, alpha: 1.6732}) as selu:
    selu.a[n, j] = cases((scale * z[n, j], z[n, j] >= 0), (scale * alpha * (exp(z[n, j]) - 1), otherwise))
