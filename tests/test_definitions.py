"""Definitions of a user's own: generated, trained by name, held to PyTorch; and what is said of wrong ones."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from derive.cli import main
from generated import Network, names

torch = pytest.importorskip("torch")

MINE = '''"""An activation of mine, layers with parameters, a cost, an update rule."""

from derive.notation import Abs, Sum, cases, exp, indices, otherwise, scalars, sqrt, system, tensors

n, j, k, i = indices("n j k i")
a, z, y, w, b, g, s, C, v, nabla = tensors("a z y w b g s C v nabla")
learning_rate, decay, width, epsilon = scalars("learning_rate decay width epsilon")

with system("self_gated", inputs=[z[n, j]], outputs=[a[n, j]]) as self_gated:
    self_gated.a[n, j] = z[n, j] / (1 + exp(-z[n, j]))

with system("softsign", inputs=[z[n, j]], outputs=[a[n, j]]) as softsign:
    softsign.a[n, j] = z[n, j] / (1 + Abs(z[n, j]))

# a rectifier that learns its slope, one a unit
with system("prelu", inputs=[z[n, j]], parameters=[s[j]], outputs=[a[n, j]], initial={s: 0.25}) as prelu:
    prelu.a[n, j] = cases((z[n, j], z[n, j] > 0), (s[j] * z[n, j], otherwise))

# a gated layer: what passes is weighed by what a second matrix sees
with system("gated", inputs=[a[n, k]], parameters=[w[j, k], b[j], g[j, k]], outputs=[z[n, j]]) as gated:
    gated.content[n, j] = Sum(w[j, k] * a[n, k], k) + b[j]
    gated.gate[n, j] = Sum(g[j, k] * a[n, k], k)
    gated.z[n, j] = gated.content[n, j] / (1 + exp(-gated.gate[n, j]))

# weights that are products, each factor's gradient read by the other's
with system("factors", inputs=[a[n, k]], parameters=[w[j, k], g[j, k]], outputs=[z[n, j]]) as factors:
    factors.z[n, j] = Sum(w[j, k] * g[j, k] * a[n, k], k)

# Huber's cost: quadratic near, linear far
with system("huber", inputs=[a[n, j]], targets=[y[n, j]], outputs=[C[n]], settings={width: 0.5}) as huber:
    huber.d[n, j] = a[n, j] - y[n, j]
    huber.C[n] = Sum(
        cases(
            (huber.d[n, j] ** 2 / 2, huber.d[n, j] ** 2 <= width**2),
            (width * sqrt(huber.d[n, j] ** 2) - width**2 / 2, otherwise),
        ),
        j,
    )

with system(
    "rmsprop",
    parameters=[w[i]],
    gradient=[nabla[i]],
    states=[v[i]],
    settings={learning_rate: 0.001, decay: 0.9, epsilon: 1e-8},
) as rmsprop:
    rmsprop.v_new[i] = decay * v[i] + (1 - decay) * nabla[i] ** 2
    rmsprop.w_new[i] = w[i] - learning_rate * nabla[i] / (sqrt(rmsprop.v_new[i]) + epsilon)
'''


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """The package that `derive generate mylayers.py --output mine/` writes, imported."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "mylayers.py").write_text(MINE)
    assert main(["generate", str(folder / "mylayers.py"), "--output", str(folder / "mine")]) == 0
    sys.path.insert(0, str(folder))
    yield importlib.import_module("mine")
    sys.path.remove(str(folder))


def forward(network: Network, x):
    """The same network in PyTorch's own operations, and its parameters."""
    found = []
    for (name, *_), layer in zip(network.layers, network.parameters, strict=True):
        p = {key: torch.tensor(value.copy(), requires_grad=True) for key, value in layer.items()}
        found.append(p)
        if name == "dense":
            x = x @ p["w"].T + p["b"]
        elif name == "gated":
            x = (x @ p["w"].T + p["b"]) * torch.sigmoid(x @ p["g"].T)
        elif name == "prelu":
            x = torch.nn.functional.prelu(x, p["s"])
        else:
            x = {
                "self_gated": torch.nn.functional.silu, "softsign": torch.nn.functional.softsign, "logistic": torch.sigmoid,
            }[name](x)  # fmt: skip
    return x, found


CHAINS = [
    [("gated", 13), "self_gated", ("dense", 70), "softsign", ("dense", 9), "prelu"],
    [("dense", 8), "prelu", ("gated", 3), "softsign"],
    ["softsign", ("gated", 5), "self_gated"],
]


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("cost", ["huber", "quadratic"])
def test_gradients_of_own_layers_and_costs_are_those_of_pytorch(mine, chain, cost):
    random = np.random.default_rng(len(chain))
    network = mine.Network(chain, cost=cost, dtype="float64", random_state=0, inputs=6)
    x = random.standard_normal((37, 6))
    y = random.standard_normal(network.outputs(x).shape)
    outputs, parameters = forward(network, torch.tensor(x))
    if cost == "huber":
        loss = torch.nn.functional.huber_loss(outputs, torch.tensor(y), reduction="none", delta=0.5).sum(1).mean()
    else:
        loss = ((torch.tensor(y) - outputs) ** 2).sum(1).mean() / 2
    loss.backward()
    np.testing.assert_allclose(network.outputs(x), outputs.detach().numpy(), rtol=1e-12, atol=1e-14)
    assert network.loss(x, y) == pytest.approx(loss.item(), rel=1e-12)
    for ours, theirs in zip(network.gradients(x, y), parameters, strict=True):
        assert ours.keys() == theirs.keys()
        for name, gradient in ours.items():
            want = theirs[name].grad.numpy()
            assert np.abs(gradient - want).max() <= 1e-12 * np.abs(want).max()


def test_steps_of_an_own_rule_are_those_of_pytorch(mine):
    random = np.random.default_rng(0)
    x, y = random.standard_normal((33, 6)), random.random((33, 2))
    network = mine.Network([("gated", 2), "logistic"], dtype="float64", random_state=0, inputs=6)
    _, (parameters, _) = forward(network, torch.tensor(x))
    optimizer = torch.optim.RMSprop(parameters.values(), lr=0.02, alpha=0.9, eps=1e-8)
    for _ in range(5):
        optimizer.zero_grad()
        z = torch.tensor(x) @ parameters["w"].T + parameters["b"]
        a = torch.sigmoid(z * torch.sigmoid(torch.tensor(x) @ parameters["g"].T))
        (((torch.tensor(y) - a) ** 2).sum(1).mean() / 2).backward()
        optimizer.step()
    network.partial_fit(x, y, epochs=5, batch_size=33, rule="rmsprop", learning_rate=0.02, shuffle=False)
    for name, value in network.parameters[0].items():
        np.testing.assert_allclose(value, parameters[name].detach().numpy(), rtol=1e-11)


@pytest.mark.parametrize("layers", [[("factors", 4)], [("factors", 30), "tanh", ("dense", 9), ("factors", 5)]])
def test_a_step_follows_the_gradient_where_parameters_are_read_for_one_another(mine, layers):
    random = np.random.default_rng(0)
    network = mine.Network(layers, dtype="float64", random_state=0, inputs=6)
    x = random.standard_normal((20, 6))
    y = random.standard_normal(network.outputs(x).shape)
    before = [{name: array.copy() for name, array in own.items()} for own in network.parameters]
    gradients = network.gradients(x, y)
    network.partial_fit(x, y, batch_size=20, learning_rate=0.5, shuffle=False)
    for own, old, gradient in zip(network.parameters, before, gradients, strict=True):
        for name, array in own.items():
            np.testing.assert_allclose(array, old[name] - 0.5 * gradient[name], rtol=1e-12, atol=1e-14)


def test_own_definitions_train_by_name(mine):
    random = np.random.default_rng(0)
    y = random.integers(3, size=300)
    x = random.standard_normal((300, 8)) + 3 * np.eye(3, 8)[y]
    network = mine.Network([("gated", 24), "self_gated", ("dense", 3), "prelu"], cost="huber", random_state=0)
    network.fit(x[:200], y[:200], epochs=30, rule="rmsprop", learning_rate=0.01, weight_decay=1e-4)
    assert network.score(x[200:], y[200:]) > 0.85
    assert {"self_gated", "softsign", "prelu", "gated"} <= set(names()["layers"])
    assert "huber" in names()["costs"] and "rmsprop" in names()["rules"]


def test_first_values_are_those_of_the_definition(mine):
    network = mine.Network([("gated", 300), "prelu"], random_state=0, inputs=400)
    first = network.parameters[0]
    assert np.std(first["w"]) == pytest.approx(1 / 20, rel=0.02) and np.std(first["g"]) == pytest.approx(
        1 / 20, rel=0.02
    )
    assert not first["b"].any() and (network.parameters[1]["s"] == 0.25).all()


def test_own_kernels_are_written_again_to_the_byte(mine, capsys):
    folder = Path(mine.__file__).parent
    arguments = ["generate", str(folder.parent / "mylayers.py"), "--output", str(folder)]
    before = {p.name: p.read_bytes() for p in folder.glob("*.py")}
    assert set(before) == {
        f"{name}.py" for name in ("__init__", "factors", "gated", "huber", "prelu", "rmsprop", "self_gated", "softsign")
    }
    assert main([*arguments, "--check"]) == 0 and main(arguments) == 0
    assert {p.name: p.read_bytes() for p in folder.glob("*.py")} == before
    ruff = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--check", "--isolated", "--line-length", "120", str(folder)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert ruff.returncode == 0, ruff.stdout


def test_a_file_without_a_docstring_is_named_in_its_kernels(tmp_path):
    (tmp_path / "cubes.py").write_text(
        BEGIN + 'with system("cube", inputs=[z[n, j]], outputs=[a[n, j]]) as s:\n    s.a[n, j] = z[n, j] ** 3\n'
    )
    assert main(["generate", str(tmp_path / "cubes.py"), "--output", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "cube.py").read_text().startswith('"""cube, as cubes.py defines it.')


# What cannot stand ----------------------------------------------------------------------------------------------------

BEGIN = """import sympy
from derive.notation import *

n, j, k, i = indices("n j k i")
a, z, y, w, C, v, nabla = tensors("a z y w C v nabla")
rate = scalars("rate")

"""
LINE = BEGIN.count("\n") + 1


def layer(equation: str, name: str = "mine", more: str = "") -> str:
    return f'with system("{name}", inputs=[z[n, j]], outputs=[a[n, j]]{more}) as s:\n    {equation}\n'


def rule(equation: str, more: str = "") -> str:
    roles = f"parameters=[w[i]], gradient=[nabla[i]], settings={{rate: 0.1}}{more}"
    return f'with system("mine", {roles}) as s:\n    {equation}\n'


BAD = {
    "a syntax error": (layer("s.a[n, j] = = z[n, j]"), LINE + 1, r"invalid syntax"),
    "a loose index": (layer("s.a[n, j] = z[n, k]"), LINE, r"index k is neither on the left side nor summed"),
    "an unknown tensor": (layer("s.a[n, j] = y[n, j]"), LINE, r"y is read, which no input, parameter or earlier"),
    "an unknown name": (layer("s.a[n, j] = q[n, j]"), LINE + 1, r"NameError: name 'q' is not defined"),
    "an output without equation": (layer("s.y[n, j] = z[n, j]"), LINE, r"no equation defines its output a\[n, j\]"),
    "no equation at all": (layer("pass"), LINE, r"no equation"),
    "two equations for one tensor": (
        layer("s.a[n, j] = z[n, j]\n    s.a[n, j] = 2 * z[n, j]"), LINE, r"a is given or defined twice",
    ),
    "an input defined": (layer("s.z[n, j] = 1\n    s.a[n, j] = z[n, j]"), LINE, r"z is given or defined twice"),
    "a name of ours": (layer("s.a[n, j] = z[n, j]", "dense"), LINE, r"named 'dense' already, at .*dense.py"),
    "a name twice": (layer("s.a[n, j] = z[n, j]") + layer("t.a[n, j] = 1").replace("as s", "as t"), LINE + 2, "'mine'"),
    "a name with a blank": (layer("s.a[n, j] = z[n, j]", "my layer"), LINE, r"'my layer' cannot be a module's"),
    "a name that Python has": (layer("s.a[n, j] = z[n, j]", "lambda"), LINE, r"'lambda' cannot be a module's"),
    "a name that leads elsewhere": (layer("s.a[n, j] = z[n, j]", "../x"), LINE, r"'../x' cannot be a module's"),
    "a function without kernel": (layer("s.a[n, j] = sympy.sin(z[n, j])"), LINE, r"no kernel for the function sin;"),
    "an unknown function": (layer("s.a[n, j] = sympy.Function('f')(z[n, j])"), LINE, r"no kernel for the function f"),
    "another rank": (layer("s.a[n, j] = z[n]"), LINE, r"z\[n\] has 1 indices, z\[n, j\] has 2"),
    "a setting not declared": (layer("s.a[n, j] = rate * z[n, j]"), LINE, r"rate is no setting; add it to settings="),
    "a default that is a word": (
        layer("s.a[n, j] = rate * z[n, j]", more=", settings={rate: 'fast'}"), LINE, r"default of rate must be a n",
    ),
    "a tensor named as the kernel's own": (
        layer("s.first[n, j] = z[n, j]\n    s.a[n, j] = s.first[n, j] ** 2"), LINE, r"the name 'first' cannot stand",
    ),
    "a rule that moves nothing": (rule("s.u[i] = w[i]"), LINE, r"no equation for w_new"),
    "a rule that forgets its state": (rule("s.w_new[i] = w[i]", ", states=[v[i]]"), LINE, r"no equation for v_new"),
    "a penalty": (
        'with system("mine", parameters=[w[i]], outputs=[C[0]]) as s:\n    s.C[0] = Sum(w[i] ** 4, i)\n', LINE,
        r"no layer, cost or update rule",
    ),
    "inputs that are no list": (
        layer("pass").replace("inputs=[z[n, j]]", "inputs=z"), LINE, r"inputs must be a list of components.*, not z",
    ),
    "a missing module": ("import no_such_module\n", LINE, r"ModuleNotFoundError: No module named 'no_such_module'"),
    "a file that exits": ("raise SystemExit(0)\n", LINE, r"SystemExit"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_definition_that_cannot_stand_is_one_line_with_file_and_line(case, tmp_path, capsys):
    text, line, message = BAD[case]
    path, output = tmp_path / "bad.py", tmp_path / "out"
    path.write_text(BEGIN + text)
    assert main(["generate", str(path), "--output", str(output)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "Traceback" not in err
    assert f"{path}:{line}: " in err, err
    assert re.search(message, err), err
    assert not output.exists()


def test_a_file_without_definitions_is_refused(tmp_path, capsys):
    (tmp_path / "empty.py").write_text("")
    for name, message in (("empty.py", "no definition; state one with"), ("missing.py", "there is no such file")):
        assert main(["generate", str(tmp_path / name), "--output", str(tmp_path / "out")]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith(f"derive generate: {tmp_path / name}: {message}") and err.count("\n") == 1


def test_own_definitions_need_a_folder_of_their_own(tmp_path, capsys):
    path = tmp_path / "cube.py"  # the same name as the kernels would have
    path.write_text(BEGIN + layer("s.a[n, j] = z[n, j] ** 3", "cube"))
    text = path.read_text()
    for arguments, message in (
        ([str(path)], "add --output DIR"),
        ([str(path), "--output", str(tmp_path)], f"{path}: not written by derive, and not written over"),
        ([str(path), "--output", str(path)], f"{path}: this is a file"),
        (["--output", str(tmp_path)], ""),
    ):
        code = main(["generate", *arguments])
        out, err = capsys.readouterr()
        assert (code == 2 and message in err and err.count("\n") == 1) if message else code == 0, (out, err)
        assert path.read_text() == text
