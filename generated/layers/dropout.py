"""Dropout (Srivastava et al. 2014): a unit is left out with a probability, the others are scaled up to keep the mean.

Forward equations:

    a[n, j] = {z[n, j]/(1 - probability) if u[n, j] >= probability; 0 otherwise}

Derived from them:

    delta_z[n, j] = {delta_a[n, j]/(1 - probability) if probability <= u[n, j]; 0 otherwise}

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..program import Kernel, span


def given_1(probability):
    """probability >= 0"""
    return probability >= 0


def given_2(probability):
    """probability < 1"""
    return probability < 1


def dropout_forward(u, z, a, probability, first, last):
    r"""a[n, j] = {z[n, j]/(1 - probability) if u[n, j] >= probability; 0 otherwise}

    Shapes: u (N, J), z (N, J), a (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = a.dtype.type
    for i in span(first, last):
        a[i] = z[i] / (T(1) - T(probability)) if T(probability) <= u[i] else T(0)


def dropout_input_sensitivity(delta_a, u, delta_z, probability, first, last):
    r"""delta_z[n, j] = {delta_a[n, j]/(1 - probability) if probability <= u[n, j]; 0 otherwise}

    From a[n, j] = {z[n, j]/(1 - probability) if u[n, j] >= probability; 0 otherwise}.
    Shapes: delta_a (N, J), u (N, J), delta_z (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = delta_z.dtype.type
    for i in span(first, last):
        delta_z[i] = delta_a[i] / (T(1) - T(probability)) if T(probability) <= u[i] else T(0)


DROPOUT = Layer(
    name="dropout",
    inputs=("z[n, j]",),
    outputs=("a[n, j]",),
    random=("u[n, j]",),
    settings={"probability": 0.5},
    given=(given_1, given_2),
    inference="linear",
    forward=(
        Kernel(
            dropout_forward,
            arguments=("u[i]", "z[i]", "a[i]"),
            split="i",
            writes=("a",),
            scalars=("probability",),
        ),
    ),
    backward=(
        Kernel(
            dropout_input_sensitivity,
            arguments=("delta_a[i]", "u[i]", "delta_z[i]"),
            split="i",
            writes=("delta_z",),
            scalars=("probability",),
        ),
    ),
)
