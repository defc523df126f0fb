"""F(2, 3): 2 outputs of a correlation with 3 taps by 4 multiplications instead of 6.

    y[k] = sum_j g[j] d[k + j] = A^T [(G g) o (B^T d)],  interpolated at 0, 1, -1, infinity

Proved for all d and g before this was written.

Written by ``derive generate``; change the template, not this file.
"""

from ..filtered import Filtering, Rounding, fma, times


def data(d):
    """B^T d, 4 to 4:

    1   0  -1  0
    0   1   1  0
    0  -1   1  0
    0  -1   0  1
    """
    d0, d1, d2, d3 = d
    v1 = d2 + d1
    v2 = d2 - d1
    v0 = d0 - d2
    v3 = d3 - d1
    return v0, v1, v2, v3


def filters(g):
    """G g, 3 to 4:

      1     0    0
    1/2   1/2  1/2
    1/2  -1/2  1/2
      0     0    1
    """
    g0, g1, g2 = g
    even0 = fma((1, 2), g2, times((1, 2), g0))
    u1 = fma((1, 2), g1, even0)
    u2 = fma((-1, 2), g1, even0)
    return g0, u1, u2, g2


def outputs(x):
    """A^T x, 4 to 2:

    1  1   1  0
    0  1  -1  1
    """
    x0, x1, x2, x3 = x
    y0 = x0 + x1 + x2
    y1 = x1 + x3 - x2
    return y0, y1


def sensitivities(y):
    """A y, 2 to 4:

    1   0
    1   1
    1  -1
    0   1
    """
    y0, y1 = y
    x1 = y0 + y1
    x2 = y0 - y1
    return y0, x1, x2, y1


def gradients(x):
    """G^T x, 4 to 3:

    1  1/2   1/2  0
    0  1/2  -1/2  0
    0  1/2   1/2  1
    """
    x0, x1, x2, x3 = x
    sum0 = x1 + x2
    difference0 = x1 - x2
    g0 = fma((1, 2), sum0, x0)
    g1 = times((1, 2), difference0)
    g2 = fma((1, 2), sum0, x3)
    return g0, g1, g2


F2_3 = Filtering(
    m=2,
    r=3,
    data=data,
    filters=filters,
    outputs=outputs,
    sensitivities=sensitivities,
    gradients=gradients,
    rounding=Rounding(taps=3, sums=5.0000, transforms=15.5000),
    rounding_gradients=Rounding(taps=2, sums=3.3333, transforms=8.6667),
)
