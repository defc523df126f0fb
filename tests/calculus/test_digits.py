"""Reading by quotient and remainder, whose adjoints are gathers; and the slope of a length, which is 0 where the length is."""

from functools import cache

import numpy as np
import pytest
import sympy as sp
from oracle import array_of, components, evaluate

from derive.calculus.derivation import Derivation, derive
from derive.calculus.ranges import Inside
from derive.calculus.system import System
from derive.forward.batch_norm_darknet import bn
from derive.forward.reorg import reorg
from derive.notation import Eq, Sum, counts, indices, size_of, sqrt, system, tensors

n, p, q, i, j, k = indices("n p q i j k")
a, x, y, z = tensors("a x y z")
P, Q, I, J, K = map(size_of, (p, q, i, j, k))  # noqa: E741
width = counts("width", least=1)

with system("reshape", inputs=[a[n, p, q]], outputs=[z[n, i, j]], settings={width: 3}, sizes={J: width, I: P * Q // width},
            given=[Eq(P * Q, I * J)]) as reshape:  # fmt: skip
    reshape.z[n, i, j] = a[n, (width * i + j) // Q, (width * i + j) % Q]

with system("columns", inputs=[a[n, p, q]], outputs=[z[n, i]]) as columns:  # one column after the other
    columns.z[n, i] = a[n, i % P, i // P]

with system("folded", inputs=[x[n, k]], outputs=[y[n, i, j]]) as folded:  # every J-th twice, and beyond the end nothing
    folded.y[n, i, j] = x[n, 2 * (i // 2) * J + j]


def backward(
    derivation: Derivation, stage: str, delta: np.ndarray, sizes: dict[str, int], settings: dict
) -> np.ndarray:
    """What comes back to the one input for a sensitivity of the one output."""
    (start,), (end,) = derivation.system.inputs, derivation.system.outputs
    values = {f"delta_{end.base.name}": components(delta)}
    found = evaluate(getattr(derivation, stage), values, sizes | settings)
    shape = tuple(sizes[size_of(axis).name] for axis in start.indices)
    return array_of(found[f"delta_{start.base.name}"], shape)


CASES = {  # a system, sizes, settings
    "reshape": (reshape, {"N": 2, "P": 4, "Q": 6, "I": 8, "J": 3}, {"width": 3}),
    "columns": (columns, {"N": 2, "P": 3, "Q": 4, "I": 12}, {}),
    "columns of some": (columns, {"N": 1, "P": 3, "Q": 4, "I": 10}, {}),
    "folded": (folded, {"N": 2, "K": 10, "I": 5, "J": 3}, {}),
    "reorg": (reorg, {**dict(zip("NCPQDIJ", (1, 8, 4, 2, 32, 2, 1), strict=True)),
                      **dict(zip("FGHKRSX", (4, 2, 4, 8, 4, 2, 8), strict=True))}, {"stride": 2}),
}  # fmt: skip
derived = cache(lambda name: derive({s.name: s for s, *_ in CASES.values()}[name]))


def matrix_of(s: System, sizes: dict[str, int], settings: dict) -> tuple[np.ndarray, tuple[int, ...]]:
    """The matrix of a linear layer, from its forward equations on one unit vector after the other; the output's shape."""
    (start,), (end,) = s.inputs, s.outputs
    shape, out = (tuple(sizes[size_of(axis).name] for axis in t.indices) for t in (start, end))
    rows = []
    for unit in np.eye(int(np.prod(shape))):
        found = evaluate(s.equations, {start.base.name: components(unit.reshape(shape))}, sizes | settings)
        rows.append(array_of(found[end.base.name], out).reshape(-1))
    return np.array(rows).T, out


@pytest.mark.parametrize("name", CASES)
def test_what_is_read_by_quotient_and_remainder_gets_its_sensitivity(name):
    s, sizes, settings = CASES[name]
    matrix, shape = matrix_of(s, sizes, settings)
    delta = np.random.default_rng(0).standard_normal(shape)
    derivation = derived(s.name)
    for stage in ("adjoints", "closed", "backward"):
        found = backward(derivation, stage, delta, sizes, settings)
        np.testing.assert_allclose(found.reshape(-1), matrix.T @ delta.reshape(-1), atol=1e-14)


@pytest.mark.parametrize("name", ["reshape", "columns", "reorg"])
def test_their_adjoints_gather_what_a_place_was_read_for_and_look_nowhere_else(name):
    """No Kronecker delta is left to be tried at every place, and the bounds of each sum hold one value."""
    s, sizes, settings = CASES[name]
    for equation in derived(s.name).closed:
        assert not equation.expression().has(sp.KroneckerDelta)
        for term in equation.terms:
            known = {size_of(axis): sizes[size_of(axis).name] for axis in equation.target.indices}
            known |= {t: settings[t.name] for t in s.settings} | {
                sp.Symbol(k, **size_of(n).assumptions0): v for k, v in sizes.items()
            }
            for at in list(np.ndindex(*(sizes[size_of(axis).name] for axis in equation.target.indices)))[::7]:
                here = {**known, **dict(zip(equation.target.indices, at, strict=True))}
                for _, low, high in term.over:
                    assert high.subs(here) - low.subs(here) <= 0


def test_conditions_that_sizes_say_already_are_left_out():
    known = Inside([i, j], {I: 2 * K, J: K})
    assert known.open([2 * K - 1 - i, K - 1 - j, 2 * K * K - 1 - K * i - j, 2 * K - i - j], []) == [2 * K - i - j]
    assert known.open([K - 1 - i % K, i % 3, 3 - i % 5], []) == [3 - i % 5]


# Lengths ----------------------------------------------------------------------------------------------------------------------


def test_the_slope_of_a_length_is_zero_where_the_length_is():
    with system("length", inputs=[x[n, k]], outputs=[y[n]]) as length:
        length.square[n] = Sum(x[n, k] ** 2, k)
        length.y[n] = sqrt(length.square[n])
    derivation = derive(length)
    values = {"x": components(np.array([[3.0, 4.0], [0.0, 0.0]])), "delta_y": components(np.array([10.0, 10.0]))}
    values = evaluate([*derivation.forward, *derivation.backward], values, {"N": 2, "K": 2})
    np.testing.assert_allclose(array_of(values["delta_x"], (2, 2)), [[6, 8], [0, 0]], atol=1e-14)


def test_the_root_of_what_may_be_below_zero_keeps_its_pole():
    with system("root", inputs=[x[n, k]], outputs=[y[n]]) as root:
        root.total[n] = Sum(x[n, k], k)
        root.y[n] = sqrt(root.total[n])
    assert not any(t.body.has(sp.Piecewise) for e in derive(root).backward for t in e.terms)


def test_batch_normalisation_of_darknet_divides_by_its_deviation_once():
    """The closed form is as short as that of the field's: what its addends share is taken out."""
    (delta_z,) = (e for e in derive(bn).closed if e.name == "delta_z")
    assert str(delta_z.terms[0].body).count("epsilon") == 1
