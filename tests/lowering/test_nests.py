"""What the kernels of small systems look like: which loops, in which order, what stands in them and what does not."""

import re

import pytest
import sympy as sp

from derive.calculus.derivation import chain, derive
from derive.calculus.system import System
from derive.forward.average_pooling import average_pooling
from derive.forward.batch_norm import batch_norm
from derive.forward.depthwise_convolution import depthwise_convolution
from derive.forward.leaky import leaky
from derive.forward.max_pooling import max_pooling
from derive.generate import environment
from derive.lowering.kernel import Kernel
from derive.lowering.lower import Lowered, lower
from derive.notation import MaxOver, Sum, counts, indices, size_of, sqrt, system, tanh, tensors

n, c, d, f, p, q, u, i, j = indices("n c d f p q u i j")
a, b, w, y = tensors("a b w y")
C, D, F, P, Q, U, I, J = map(size_of, (c, d, f, p, q, u, i, j))
stride = counts("stride", least=1)


class Named(dict):
    """Each kernel by the tensor that it computes last."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        return name


def lowered(s: System) -> Lowered:
    return lower(derive(s), Named())


def forward(s: System) -> dict[str, Kernel]:
    return {k.name: k for k in lowered(s).forward.kernels}


def backward(s: System) -> dict[str, Kernel]:
    return {k.name: k for k in lowered(s).backward.kernels}


def text(k: Kernel) -> str:
    macros = environment().get_template("macros.j2").module
    return macros.statements(k.body, 0)  # type: ignore[attr-defined]


def loops(k: Kernel) -> list[str]:
    """The loops in the order in which they are written."""
    return re.findall(r"for (.*):", text(k))


def planes(y_at: tuple, body: sp.Expr, **more) -> System:
    with system("planes", inputs=[a[n, c, p, q]], outputs=[y[y_at]], **more) as planes:
        planes.y[y_at] = body
    return planes


# Windows --------------------------------------------------------------------------------------------------------------


def test_the_window_of_a_maximum_is_cut_to_the_plane_by_its_bounds():
    (k,) = forward(max_pooling).values()
    assert loops(k) == [
        "n in range(first, last)", "i in range(I)", "j in range(J)", "c in lanes(C)",
        "u in range(first_u, last_u)", "v in range(first_v, last_v)",
    ]  # fmt: skip
    assert "first_u = max(0, top - i * stride)" in text(k)
    assert "last_v = min(V, Q + left - j * stride)" in text(k)
    assert " if " not in text(k)


def test_the_next_row_of_windows_is_asked_for():
    (k,) = forward(max_pooling).values()
    assert "a[n, u + i * stride - top, v + j * stride - left, c]" in text(k)
    assert "ahead(a, (n, u + stride * (i + 1) - top, v + j * stride - left, c))" in text(k)


def test_the_row_after_the_last_window_that_a_place_lies_in_is_asked_for():
    (k,) = backward(max_pooling).values()
    before_the_windows = text(k).partition("for i in")[0]
    for name in ("delta_z", "z_at_u", "z_at_v"):
        assert f"ahead({name}, (n, last_i, first_j, c))" in before_the_windows
    assert "ahead(" not in text(backward(depthwise_convolution)["delta_a"])  # weights stay near by


def test_settings_and_taps_of_windows_are_constants_of_their_kernels():
    assert {k.fixed for k in forward(max_pooling).values()} == {("U", "V", "left", "stride", "top")}
    assert forward(depthwise_convolution)["z"].fixed == ("dilation", "left", "stride", "top", "u", "v")
    assert not any(k.fixed for k in forward(batch_norm).values())


def test_weights_of_a_window_stay_near_by_along_a_row_of_places():
    k = forward(depthwise_convolution)["z"]
    rows = [
        "n in range(first, last)",
        "i in range(I)",
        "c in lanes(C)",
        "j in range(J)",
        "u in range(U)",
        "v in range(V)",
    ]
    assert loops(k) == rows
    assert "near_w = near(w, c)" in text(k).partition("lanes(C)")[2].partition("for j")[0]
    assert "if first_u <= u and first_v <= v and u < last_u and v < last_v:" in text(k)
    assert "w[u, v, c]" not in text(k)
    back = backward(depthwise_convolution)["delta_a"]
    assert "near_w[u, v]" in text(back)
    assert "while u < U:" in text(back)


def test_the_gradient_of_a_filter_takes_a_row_of_planes_once_for_all_taps_above_each_other():
    k = backward(depthwise_convolution)["nabla_w_part"]
    assert loops(k) == [
        "n in range(first, last)", "v in range(V)", "c in lanes(C)",
        "u in range(U)", "i in range(I)", "u in range(U)", "j in range(first_j, last_j)",
    ]  # fmt: skip
    assert "if top <= i * stride + dilation * u and i * stride + dilation * u < P + top:" in text(k)
    assert text(k).index("nabla_w_part[n, u, v, c] = T(0)") > text(k).index("lanes(C)")  # each vector begins anew
    assert "//" not in text(k).partition("lanes(")[2]


def test_products_that_are_summed_in_lanes_are_rounded_with_their_sum():
    assert "few1 = fma(e, e, few1)" in text(forward(batch_norm)["var_part"])


def test_a_sum_in_double_precision_takes_several_terms_at_once():
    assert "total1 += double(few1)" in text(forward(batch_norm)["var_part"])


def test_places_in_a_window_are_small_integers_and_kept_for_the_way_back():
    found = lowered(max_pooling)
    (k,) = found.forward.kernels
    assert k.dtypes == {"z_at_u": "int16", "z_at_v": "int16"}
    assert set(found.forward.buffers) == {"z_at_u", "z_at_v"}
    assert k.arguments["z_at_u"] == k.arguments["z"] == ("n", "i", "j", "c")


def test_places_in_a_whole_axis_are_integers_that_count_far():
    with system("row", inputs=[a[n, p, c]], outputs=[y[n, c]]) as row:
        row.y[n, c] = MaxOver(a[n, p, c], p)
    (k,) = forward(row).values()
    assert k.dtypes == {"y_at": "int32"}
    assert k.lane == "c"


def test_the_gradient_of_a_maximum_is_gathered_without_a_test_of_places_in_its_loops():
    (k,) = backward(max_pooling).values()
    assert [line.split()[0] for line in loops(k)] == ["n", "p", "q", "c", "i", "j"]
    assert "if" not in text(k).split()
    assert "z_at_u[n, i, j, c] == int16(p + top - i * stride)" in text(k)


def test_what_stands_at_a_number_is_read_and_written_there_without_a_loop_or_a_test():
    """Also beside a part that begins after it, whose size another one says."""
    with system("parts", inputs=[a[n, c]], outputs=[y[n, d]], sizes={D: C - 2}) as parts:
        parts.y[n, d] = a[n, 2 + d] * a[n, 0] + a[n, 1]
    (k,) = forward(parts).values()
    assert text(k).splitlines()[-1].strip() == "y[n, d] = a[n, 0] * a[n, d + 2] + a[n, 1]"
    k = backward(parts)["delta_a"]
    assert loops(k) == ["n in range(first, last)", "c in range(C)", "c in range(2, C)"]
    assert "    delta_a[n, 1] += delta_a_sum" in text(k) and "if" not in text(k).split()


def test_what_a_remainder_of_any_sign_reads_is_added_to_where_it_stands_not_looked_for():
    top = counts("top")
    with system("turned", inputs=[a[n, i]], outputs=[y[n, i]], settings={top: 1}) as turned:
        turned.y[n, i] = a[n, (i - top) % I]
    (kernel,) = lowered(turned).backward.kernels
    assert "i = (i1 - top) % I" in text(kernel) and "delta_a[n, i] += delta_y[n, i1]" in text(kernel)
    assert "if i ==" not in text(kernel)


def test_what_a_size_may_not_have_is_read_where_it_does():
    with system("third", inputs=[a[n, p, c]], outputs=[y[n, p]]) as third:
        third.y[n, p] = a[n, p, 0] + a[n, p, 2]
    (k,) = forward(third).values()
    assert text(k).count("if C > 2:\n") == 1 and "y[n, p] += a[n, p, 2]" in text(k)


def test_a_mean_is_multiplied_by_one_number():
    for k in (*forward(average_pooling).values(), *backward(average_pooling).values()):
        assert "c1 = T(1 / (U * V))" in text(k)
        assert "/" not in text(k).partition("for n")[2].replace("//", "")


@pytest.mark.parametrize("body", [tanh(a[n, c, stride * i + u, j]), a[n, c, stride * i + u, j] ** 7])
def test_what_has_no_vector_form_is_summed_component_by_component(body):
    (k,) = forward(planes((n, c, i, j), Sum(body, u), settings={U: 2, stride: 2}, sizes={I: P - U, J: Q})).values()
    assert k.lane == ""
    assert [line.split()[0] for line in loops(k)] == ["n", "i", "j", "c", "u"]


# Planes moved and added -----------------------------------------------------------------------------------------------


def test_floors_of_places_are_computed_once_in_their_row():
    upsampling = planes(
        (n, c, i, j), a[n, c, i // stride, j // stride], settings={stride: 2}, sizes={I: stride * P, J: stride * Q}
    )
    (k,) = forward(upsampling).values()
    lines = [line.strip() for line in text(k).splitlines() if line.strip()]
    at = lines.index("for i in range(I):")
    assert lines[at : at + 5] == [
        "for i in range(I):", "p1 = i // stride", "for j in range(J):", "q1 = j // stride", "for c in lanes(C):",
    ]  # fmt: skip
    (k,) = backward(upsampling).values()
    assert "if" not in text(k).split()
    assert "%" not in text(k)


def test_planes_of_other_sizes_are_added_where_they_stand():
    with system("shortcut", inputs=[a[n, c, p, q], b[n, d, i, j]], outputs=[y[n, c, p, q]]) as shortcut:
        shortcut.y[n, c, p, q] = a[n, c, p, q] + b[n, c, p, q]
    (k,) = forward(shortcut).values()
    assert loops(k) == [
        "n in range(first, last)", "p in range(P)", "q in range(Q)", "c in range(C)",
        "p in range(last_p)", "q in range(last_q)", "c in range(last_c)",
    ]  # fmt: skip
    assert "if" not in text(k).split()


def test_what_sizes_say_already_is_no_bound():
    with system("joined", inputs=[a[n, c, p, q], b[n, d, p, q]], outputs=[y[n, f, p, q]], sizes={F: C + D}) as joined:
        joined.y[n, f, p, q] = a[n, f, p, q] + b[n, f - C, p, q]
    (k,) = forward(joined).values()
    assert loops(k)[:3] == ["n in range(first, last)", "p in range(P)", "q in range(Q)"]
    (k,) = backward(joined).values()
    assert "min" not in text(k)
    assert "delta_b[n, p, q, d] = delta_y[n, p, q, C + d]" in text(k)


# Statistics -----------------------------------------------------------------------------------------------------------


def test_both_statistics_of_a_batch_come_from_one_loop_over_its_samples():
    kernels = [k for k in forward(batch_norm).values() if "z" in k.arguments and k.split == "g"]
    (k,) = kernels
    samples = "m in range(8 * step + 1024 * g, min(M, 1024 * g + 1024, 8 * step + 1024 * g + 8))"
    assert loops(k) == ["g in range(first, last)", "c in lanes(C)", "step in range(last_step)", samples]
    assert k.dtypes == {"mu_shifted_part": "float64", "var_part": "float64"}
    assert lowered(batch_norm).groups == {"g": "m"}


def test_both_sums_of_the_way_back_come_from_one_loop_and_the_gradients_from_them():
    kernels = backward(batch_norm)
    (k,) = [k for k in kernels.values() if k.split == "g"]
    assert len(loops(k)) == 4
    (k,) = [k for k in kernels.values() if "nabla_gamma" in k.writes]
    assert set(k.writes) == {"nabla_beta", "nabla_gamma"}
    assert set(k.arguments) - set(k.writes) == {"delta_z_sum", "delta_z_sum2"}


def test_partial_sums_are_in_double_precision_and_what_follows_from_them_is_rounded_once():
    found = lowered(batch_norm)
    parts = {"mu_shifted_part", "var_part", "delta_z_sum_part", "delta_z_sum2_part"}
    assert parts == {n for n, dtype in found.dtypes.items() if dtype == "float64"}
    assert not {"y", "delta_z", "nabla_gamma", "nabla_beta"} & set(found.dtypes)


def test_what_is_cheap_is_computed_again_and_not_kept():
    found = lowered(batch_norm)
    assert "z_hat" not in found.forward.buffers | found.backward.buffers
    fused = lower(chain(derive(batch_norm), derive(leaky)), Named())
    assert not {"z_hat", "y", "delta_y"} & set(fused.forward.buffers | fused.backward.buffers)
    large = [k.arguments for k in fused.backward.kernels for at in k.arguments.values() if len(at) == 2]
    assert {name for at in large for name, i in at.items() if i == ("m", "c")} == {"z", "delta_a", "delta_z"}


def test_no_row_divides_or_takes_a_root_of_what_all_rows_share():
    for k in (*forward(batch_norm).values(), *backward(batch_norm).values()):
        if k.split in ("m", "g"):
            assert "sqrt" not in text(k)
            assert "/" not in text(k).replace("//", "")
            assert "//" not in text(k).rpartition("lanes(")[2]  # how many steps there are is said once for all lanes


def test_sums_over_planes_of_samples_are_sums_of_the_samples_own():
    with system("shift", inputs=[a[n, c, p, q]], parameters=[w[c]], outputs=[y[n, c, p, q]]) as shift:
        shift.y[n, c, p, q] = a[n, c, p, q] + w[c]
    kernels = backward(shift)
    assert kernels["nabla_w_part"].arguments["nabla_w_part"] == ("n", "c")
    assert kernels["nabla_w_part"].lane == "c"
    assert lowered(shift).groups == {}


def test_a_row_that_normalises_itself_keeps_its_loops_together():
    with system("layer_norm", inputs=[a[n, j]], parameters=[w[j]], outputs=[y[n, j]]) as layer_norm:
        layer_norm.mu[n] = Sum(a[n, j], j) / J
        layer_norm.var[n] = Sum((a[n, j] - layer_norm.mu[n]) ** 2, j) / J
        layer_norm.y[n, j] = w[j] * (a[n, j] - layer_norm.mu[n]) / sqrt(layer_norm.var[n] + 1)
    (k,) = forward(layer_norm).values()
    assert k.lane == ""
    assert [line.split()[0] for line in loops(k)] == ["n", "j", "j", "j"]
