"""F(6, 3): 6 outputs of a correlation with 3 taps by 8 multiplications instead of 18.

    y[k] = sum_j g[j] d[k + j] = A^T [(G g) o (B^T d)],  interpolated at 0, 1, -1, 1/2, -1/2, 2, -2, infinity

Proved for all d and g before this was written.

Written by ``derive generate``; change the template, not this file.
"""

from ..filtered import Filtering, Rounding, fma, times


def data(d):
    """B^T d, 8 to 8:

    1     0  -21/4      0  21/4      0  -1  0
    0    -1     -1   17/4  17/4     -1  -1  0
    0     1     -1  -17/4  17/4      1  -1  0
    0     2      4   -5/2    -5    1/2   1  0
    0    -2      4    5/2    -5   -1/2   1  0
    0   1/2    1/4   -5/2  -5/4      2   1  0
    0  -1/2    1/4    5/2  -5/4     -2   1  0
    0    -1      0   21/4     0  -21/4   0  1
    """
    d0, d1, d2, d3, d4, d5, d6, d7 = d
    even0 = fma((17, 4), d4, fma(-1, d6, -d2))
    odd0 = fma((-17, 4), d3, d1 + d5)
    v1 = even0 - odd0
    v2 = even0 + odd0
    even1 = fma(-5, d4, fma(4, d2, d6))
    odd1 = fma((1, 4), d5, fma((-5, 4), d3, d1))
    v3 = fma(2, odd1, even1)
    v4 = fma(-2, odd1, even1)
    even2 = fma((-5, 4), d4, fma((1, 4), d2, d6))
    odd2 = fma(4, d5, fma(-5, d3, d1))
    v5 = fma((1, 2), odd2, even2)
    v6 = fma((-1, 2), odd2, even2)
    v0 = fma((21, 4), d4, fma((-21, 4), d2, d0 - d6))
    v7 = fma((-21, 4), d5, fma((21, 4), d3, d7 - d1))
    return v0, v1, v2, v3, v4, v5, v6, v7


def filters(g):
    """G g, 3 to 8:

        1       0     0
      2/9     2/9   2/9
      2/9    -2/9   2/9
    32/45   16/45  8/45
    32/45  -16/45  8/45
     1/90    1/45  2/45
     1/90   -1/45  2/45
        0       0     1
    """
    g0, g1, g2 = g
    even0 = fma((2, 9), g2, times((2, 9), g0))
    u1 = fma((2, 9), g1, even0)
    u2 = fma((-2, 9), g1, even0)
    even1 = fma((8, 45), g2, times((32, 45), g0))
    u3 = fma((16, 45), g1, even1)
    u4 = fma((-16, 45), g1, even1)
    even2 = fma((2, 45), g2, times((1, 90), g0))
    u5 = fma((1, 45), g1, even2)
    u6 = fma((-1, 45), g1, even2)
    return g0, u1, u2, u3, u4, u5, u6, g2


def outputs(x):
    """A^T x, 8 to 6:

    1  1   1     1      1   1    1  0
    0  1  -1   1/2   -1/2   2   -2  0
    0  1   1   1/4    1/4   4    4  0
    0  1  -1   1/8   -1/8   8   -8  0
    0  1   1  1/16   1/16  16   16  0
    0  1  -1  1/32  -1/32  32  -32  1
    """
    x0, x1, x2, x3, x4, x5, x6, x7 = x
    sum0 = x1 + x2
    difference0 = x1 - x2
    sum1 = x3 + x4
    difference1 = x3 - x4
    sum2 = x5 + x6
    difference2 = x5 - x6
    y0 = x0 + sum0 + sum1 + sum2
    y1 = fma(2, difference2, fma((1, 2), difference1, difference0))
    y2 = fma(4, sum2, fma((1, 4), sum1, sum0))
    y3 = fma(8, difference2, fma((1, 8), difference1, difference0))
    y4 = fma(16, sum2, fma((1, 16), sum1, sum0))
    y5 = fma(32, difference2, fma((1, 32), difference1, difference0 + x7))
    return y0, y1, y2, y3, y4, y5


def sensitivities(y):
    """A y, 6 to 8:

    1     0    0     0     0      0
    1     1    1     1     1      1
    1    -1    1    -1     1     -1
    1   1/2  1/4   1/8  1/16   1/32
    1  -1/2  1/4  -1/8  1/16  -1/32
    1     2    4     8    16     32
    1    -2    4    -8    16    -32
    0     0    0     0     0      1
    """
    y0, y1, y2, y3, y4, y5 = y
    even0 = y0 + y2 + y4
    odd0 = y1 + y3 + y5
    x1 = even0 + odd0
    x2 = even0 - odd0
    even1 = fma((1, 16), y4, fma((1, 4), y2, y0))
    odd1 = fma((1, 16), y5, fma((1, 4), y3, y1))
    x3 = fma((1, 2), odd1, even1)
    x4 = fma((-1, 2), odd1, even1)
    even2 = fma(16, y4, fma(4, y2, y0))
    odd2 = fma(16, y5, fma(4, y3, y1))
    x5 = fma(2, odd2, even2)
    x6 = fma(-2, odd2, even2)
    return y0, x1, x2, x3, x4, x5, x6, y5


def gradients(x):
    """G^T x, 8 to 3:

    1  2/9   2/9  32/45   32/45  1/90   1/90  0
    0  2/9  -2/9  16/45  -16/45  1/45  -1/45  0
    0  2/9   2/9   8/45    8/45  2/45   2/45  1
    """
    x0, x1, x2, x3, x4, x5, x6, x7 = x
    sum0 = x1 + x2
    difference0 = x1 - x2
    sum1 = x3 + x4
    difference1 = x3 - x4
    sum2 = x5 + x6
    difference2 = x5 - x6
    g0 = fma((1, 90), sum2, fma((32, 45), sum1, fma((2, 9), sum0, x0)))
    g1 = fma((1, 45), difference2, fma((16, 45), difference1, times((2, 9), difference0)))
    g2 = fma((2, 45), sum2, fma((8, 45), sum1, fma((2, 9), sum0, x7)))
    return g0, g1, g2


F6_3 = Filtering(
    m=6,
    r=3,
    data=data,
    filters=filters,
    outputs=outputs,
    sensitivities=sensitivities,
    gradients=gradients,
    rounding=Rounding(taps=3, sums=61.8958, transforms=353.9530),
    rounding_gradients=Rounding(taps=6, sums=123.7917, transforms=753.1533),
)
