"""Update rules as kernels: which are linear in parameter and gradient, and what becomes of a gradient then."""

import sympy as sp

from derive.calculus.derivation import derive
from derive.calculus.equation import Equation, Term
from derive.lowering.lower import lower, lower_linear
from derive.notation import Sum, indices, scalars, system, tensors

i, n, j, k = indices("i n j k")
a, b, g, w, z, nabla, total, w_new = tensors("a b g w z nabla total w_new")
rate, decay = scalars("rate decay")


class Named(dict):
    """Each kernel by the tensor that it computes last."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        return name


def factors(new: sp.Expr) -> list[str] | None:
    """What the kernel of the factors of w_new[i] = new says, total[i] being the gradient and that of the penalty."""
    equations = [Equation(total[i], (Term(nabla[i]), Term(decay * w[i]))), Equation(w_new[i], (Term(new),))]
    kernel = lower_linear(equations, "factors", "w", "nabla")
    return kernel and [f"{line.left} = {line.right}" for line in kernel.body]


def test_a_rule_that_is_linear_in_parameter_and_gradient_has_factors_of_its_settings():
    assert factors(w[i] - rate * total[i]) == ["kept[0] = 1 - decay * rate", "share[0] = -rate"]
    assert factors(w[i] / 2 - (rate + 1) * nabla[i]) == ["kept[0] = 1 / 2", "share[0] = -(rate + 1)"]


def test_a_rule_that_is_not_linear_has_no_factors():
    assert factors(w[i] - rate * sp.Abs(nabla[i])) is None
    assert factors(w[i] - w[i] * nabla[i]) is None
    assert factors(w[i] - rate * nabla[i] + decay) is None


def test_only_a_gradient_that_is_a_contraction_by_itself_can_be_added_at_once():
    with system("two", inputs=[a[n, k]], parameters=[w[j, k], g[j, k], b[j]], outputs=[z[n, j]]) as two:
        two.z[n, j] = Sum(w[j, k] * a[n, k], k) + Sum(g[j, k] * a[n, k] ** 2, k) * b[j]
    found = {kernel.name: kernel for kernel in lower(derive(two), Named()).descent}
    assert set(found) == {"two_w_descent"}
    assert found["two_w_descent"].writes == ("w",)
