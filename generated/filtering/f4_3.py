"""F(4, 3): 4 outputs of a correlation with 3 taps by 6 multiplications instead of 12.

    y[k] = sum_j g[j] d[k + j] = A^T [(G g) o (B^T d)],  interpolated at 0, 3/2, -3/2, 5/8, -5/8, infinity

Proved for all d and g before this was written.

Written by ``derive generate``; change the template, not this file.
"""

from ..filtered import Filtering, Rounding, fma, times


def data(d):
    """B^T d, 6 to 6:

    225/256        0  -169/64        0   1  0
          0  -75/128   -25/64      3/2   1  0
          0   75/128   -25/64     -3/2   1  0
          0    45/32      9/4     -5/8  -1  0
          0   -45/32      9/4      5/8  -1  0
          0  225/256        0  -169/64   0  1
    """
    d0, d1, d2, d3, d4, d5 = d
    even0 = fma((-25, 64), d2, d4)
    odd0 = fma((-25, 64), d1, d3)
    v1 = fma((3, 2), odd0, even0)
    v2 = fma((-3, 2), odd0, even0)
    even1 = fma((9, 4), d2, -d4)
    odd1 = fma((-9, 4), d1, d3)
    v3 = fma((-5, 8), odd1, even1)
    v4 = fma((5, 8), odd1, even1)
    v0 = fma((-169, 64), d2, fma((225, 256), d0, d4))
    v5 = fma((-169, 64), d3, fma((225, 256), d1, d5))
    return v0, v1, v2, v3, v4, v5


def filters(g):
    """G g, 3 to 6:

      256/225         0       0
     128/1071    64/357  32/119
     128/1071   -64/357  32/119
    2048/2975   256/595  32/119
    2048/2975  -256/595  32/119
            0         0       1
    """
    g0, g1, g2 = g
    even0 = fma((32, 119), g2, times((128, 1071), g0))
    u1 = fma((64, 357), g1, even0)
    u2 = fma((-64, 357), g1, even0)
    even1 = fma((32, 119), g2, times((2048, 2975), g0))
    u3 = fma((256, 595), g1, even1)
    u4 = fma((-256, 595), g1, even1)
    u0 = times((256, 225), g0)
    return u0, u1, u2, u3, u4, g2


def outputs(x):
    """A^T x, 6 to 4:

    1     1      1        1         1  0
    0   3/2   -3/2      5/8      -5/8  0
    0   9/4    9/4    25/64     25/64  0
    0  27/8  -27/8  125/512  -125/512  1
    """
    x0, x1, x2, x3, x4, x5 = x
    sum0 = x1 + x2
    difference0 = x1 - x2
    sum1 = x3 + x4
    difference1 = x3 - x4
    y0 = x0 + sum0 + sum1
    y1 = fma((5, 8), difference1, times((3, 2), difference0))
    y2 = fma((25, 64), sum1, times((9, 4), sum0))
    y3 = fma((125, 512), difference1, fma((27, 8), difference0, x5))
    return y0, y1, y2, y3


def sensitivities(y):
    """A y, 4 to 6:

    1     0      0         0
    1   3/2    9/4      27/8
    1  -3/2    9/4     -27/8
    1   5/8  25/64   125/512
    1  -5/8  25/64  -125/512
    0     0      0         1
    """
    y0, y1, y2, y3 = y
    even0 = fma((9, 4), y2, y0)
    odd0 = fma((9, 4), y3, y1)
    x1 = fma((3, 2), odd0, even0)
    x2 = fma((-3, 2), odd0, even0)
    even1 = fma((25, 64), y2, y0)
    odd1 = fma((25, 64), y3, y1)
    x3 = fma((5, 8), odd1, even1)
    x4 = fma((-5, 8), odd1, even1)
    return y0, x1, x2, x3, x4, y3


def gradients(x):
    """G^T x, 6 to 3:

    256/225  128/1071  128/1071  2048/2975  2048/2975  0
          0    64/357   -64/357    256/595   -256/595  0
          0    32/119    32/119     32/119     32/119  1
    """
    x0, x1, x2, x3, x4, x5 = x
    sum0 = x1 + x2
    difference0 = x1 - x2
    sum1 = x3 + x4
    difference1 = x3 - x4
    g0 = fma((2048, 2975), sum1, fma((128, 1071), sum0, times((256, 225), x0)))
    g1 = fma((256, 595), difference1, times((64, 357), difference0))
    g2 = fma((32, 119), sum1, fma((32, 119), sum0, x5))
    return g0, g1, g2


F4_3 = Filtering(
    m=4,
    r=3,
    data=data,
    filters=filters,
    outputs=outputs,
    sensitivities=sensitivities,
    gradients=gradients,
    rounding=Rounding(taps=3, sums=14.3394, transforms=69.0851),
    rounding_gradients=Rounding(taps=4, sums=19.1192, transforms=88.9126),
)
