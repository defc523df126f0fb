"""F(1, 1): 1 output of a correlation with 1 tap by 1 multiplication instead of 1.

    y[k] = sum_j g[j] d[k + j] = A^T [(G g) o (B^T d)],  interpolated at infinity

Proved for all d and g before this was written.

Written by ``derive generate``; change the template, not this file.
"""

from ..filtered import Filtering, Rounding


def data(d):
    """B^T d, 1 to 1:

    1
    """
    (d0,) = d
    return (d0,)


def filters(g):
    """G g, 1 to 1:

    1
    """
    (g0,) = g
    return (g0,)


def outputs(x):
    """A^T x, 1 to 1:

    1
    """
    (x0,) = x
    return (x0,)


def sensitivities(y):
    """A y, 1 to 1:

    1
    """
    (y0,) = y
    return (y0,)


def gradients(x):
    """G^T x, 1 to 1:

    1
    """
    (x0,) = x
    return (x0,)


F1_1 = Filtering(
    m=1,
    r=1,
    data=data,
    filters=filters,
    outputs=outputs,
    sensitivities=sensitivities,
    gradients=gradients,
    rounding=Rounding(taps=1, sums=1.0000, transforms=0.0000),
    rounding_gradients=Rounding(taps=1, sums=1.0000, transforms=0.0000),
)
