"""F(2, 2): 2 outputs of a correlation with 2 taps by 3 multiplications instead of 4.

    y[k] = sum_j g[j] d[k + j] = A^T [(G g) o (B^T d)],  interpolated at 0, 1, infinity

Proved for all d and g before this was written.

Written by ``derive generate``; change the template, not this file.
"""

from ..filtered import Filtering, Rounding


def data(d):
    """B^T d, 3 to 3:

    1  -1  0
    0   1  0
    0  -1  1
    """
    d0, d1, d2 = d
    v0 = d0 - d1
    v2 = d2 - d1
    return v0, d1, v2


def filters(g):
    """G g, 2 to 3:

    1  0
    1  1
    0  1
    """
    g0, g1 = g
    u1 = g0 + g1
    return g0, u1, g1


def outputs(x):
    """A^T x, 3 to 2:

    1  1  0
    0  1  1
    """
    x0, x1, x2 = x
    y0 = x0 + x1
    y1 = x1 + x2
    return y0, y1


def sensitivities(y):
    """A y, 2 to 3:

    1  0
    1  1
    0  1
    """
    y0, y1 = y
    x1 = y0 + y1
    return y0, x1, y1


def gradients(x):
    """G^T x, 3 to 2:

    1  1  0
    0  1  1
    """
    x0, x1, x2 = x
    g0 = x0 + x1
    g1 = x1 + x2
    return g0, g1


F2_2 = Filtering(
    m=2,
    r=2,
    data=data,
    filters=filters,
    outputs=outputs,
    sensitivities=sensitivities,
    gradients=gradients,
    rounding=Rounding(taps=2, sums=4.0000, transforms=6.0000),
    rounding_gradients=Rounding(taps=2, sums=4.0000, transforms=6.0000),
)
