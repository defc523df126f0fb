"""Which equations are contractions through windows, and which are not."""

import pytest
import sympy as sp

from derive.calculus.derivation import derive
from derive.calculus.equation import Equation
from derive.calculus.system import System
from derive.forward.average_pooling import average_pooling
from derive.forward.convolution import convolution, dilation, left, stride, top
from derive.forward.dense import dense
from derive.lowering.kinds import stored_order
from derive.lowering.windows import WindowContraction, split_of, window_contraction
from derive.notation import Sum, indices, system, tensors

p, q, i, j, u, v = indices("p q i j u v")


def windows_of(s: System, storage: dict[str, tuple[str, ...]]) -> dict[str, WindowContraction | None]:
    """What each equation of a system is, forward and backward, with parameters and their gradients stored so."""
    derived = derive(s)
    equations: list[Equation] = [*derived.forward, *derived.backward]
    declared = {name: x.indices for name, x in s.declared().items()}
    for e in equations:
        declared.setdefault(e.name, e.target.indices)
    declared |= {f"delta_{name}": at for name, at in declared.items()}
    order = {name: stored_order(at) for name, at in declared.items()}
    order |= storage | {f"nabla_{name}": at for name, at in storage.items()}
    return {e.name: window_contraction(e, declared, order) for e in equations}


@pytest.fixture(scope="module")
def of_convolution() -> dict[str, WindowContraction | None]:
    return windows_of(convolution, {"w": ("u", "v", "c", "o")})


def test_forward_reads_its_input_at_stride_times_place_plus_dilation_times_tap(of_convolution):
    found = of_convolution["z"]
    rows, columns = found.windows
    assert (rows.slot, rows.row, rows.tap) == (p, i, u)
    assert (rows.row_step, rows.tap_step, rows.offset, rows.divisor) == (stride, dilation, -top, 1)
    assert (columns.slot, columns.row, columns.tap, columns.offset) == (q, j, v, -left)
    assert split_of(found) == ("n", "i", "j")


def test_gradient_of_the_filter_exchanges_place_and_tap(of_convolution):
    rows, _ = of_convolution["nabla_w"].windows
    assert (rows.slot, rows.row, rows.tap, rows.row_step, rows.tap_step) == (p, u, i, dilation, stride)
    assert split_of(of_convolution["nabla_w"]) == ("u", "v", "c")


def test_gradient_of_the_input_falls_into_phases_of_the_stride(of_convolution):
    found = of_convolution["delta_a"]
    rows, _ = found.windows
    assert (rows.slot, rows.row, rows.tap, rows.divisor) == (i, p, u, stride)
    assert (rows.row_step, rows.tap_step, rows.offset) == (1, -dilation, top)
    assert found.has_phases


def test_what_sums_nothing_through_windows_is_none(of_convolution):
    assert of_convolution["nabla_b"] is None
    assert set(windows_of(dense, {"w": ("k", "j")}).values()) == {None}
    assert set(windows_of(average_pooling, {}).values()) == {None}


def test_a_sum_over_a_part_of_the_taps_is_none():
    n, o, c, p, q, u, v, i, j = indices("n o c p q u v i j")
    a, w, z = tensors("a w z")
    with system("part", inputs=[a[n, c, p, q]], parameters=[w[o, c, u, v]], outputs=[z[n, o, i, j]]) as part:
        part.z[n, o, i, j] = Sum(w[o, c, u, v] * a[n, c, i + u, j + v], c, (u, sp.Integer(2)), v)
    assert windows_of(part, {"w": ("u", "v", "c", "o")})["z"] is None
