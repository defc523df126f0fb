"""What training lowers: the mean cost over the samples n of a mini-batch.

Forward equations:

    E[0] = sum_n C[n]/N

Derived from them:

    delta_C[n] = delta_E[0]/N

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..program import Kernel


def objective_forward(C, E, first, last):
    r"""E[0] = sum_n C[n]/N

    Shapes: C (N,), E (1); float32 or float64, C-contiguous.
    """
    T = E.dtype.type
    N = C.shape[0]
    total = T(0)
    for n in range(N):
        total += C[n]
    E[0] = total / T(N)


def objective_input_sensitivity(delta_E, delta_C, first, last):
    r"""delta_C[n] = delta_E[0]/N

    From E[0] = sum_n C[n]/N.
    Shapes: delta_E (1), delta_C (N,); float32 or float64, C-contiguous.
    """
    T = delta_C.dtype.type
    N = delta_C.shape[0]
    for n in range(first, last):
        delta_C[n] = delta_E[0] / T(N)


OBJECTIVE = Layer(
    name="objective",
    inputs=("C[n]",),
    outputs=("E[0]",),
    forward=(
        Kernel(
            objective_forward,
            arguments=("C[n]", "E[one]"),
            split="",
            writes=("E",),
        ),
    ),
    backward=(
        Kernel(
            objective_input_sensitivity,
            arguments=("delta_E[one]", "delta_C[n]"),
            split="n",
            writes=("delta_C",),
        ),
    ),
)
