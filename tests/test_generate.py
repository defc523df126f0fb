"""`derive generate`: the same bytes always, what is stale is told, and a changed definition changes all that follows."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from derive.cli import main
from derive.generate import MARK

ROOT = Path(__file__).resolve().parents[1]


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*.py"))}


def run(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
    """Python with these arguments; packages of ``cwd`` come first."""
    settings = {**os.environ, "PYTHONPATH": str(cwd), **environment}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=settings, capture_output=True, text=True)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """What generation writes, by two processes that hash strings differently."""
    folders = []
    for seed in ("1", "4321"):
        folder = tmp_path_factory.mktemp("generated") / "out"
        began = time.perf_counter()
        done = run("-m", "derive", "generate", "--output", str(folder), PYTHONHASHSEED=seed)
        assert done.returncode == 0, done.stderr
        print(f"generated in {time.perf_counter() - began:.1f} s")
        folders.append(folder)
    return folders


def test_generation_is_the_same_to_the_byte(written):
    first, second = map(files_of, written)
    assert first == second
    assert first == files_of(ROOT / "generated")


def test_generated_files_are_as_ruff_formats_them(written):
    settings = ("--isolated", "--line-length", "120", "--target-version", "py311")
    done = run("-m", "ruff", "format", "--check", *settings, str(written[0]))
    assert done.returncode == 0, done.stdout


def test_generated_files_import_numpy_and_numba_alone(written):
    for name, text in files_of(written[0]).items():
        lines = [line.split() for line in text.decode().splitlines() if line.startswith(("import ", "from "))]
        roots = {words[1].split(".")[0] for words in lines}
        assert roots - {""} <= {"numpy", "numba", "llvmlite"} | sys.stdlib_module_names, name


def test_check_tells_what_is_stale_and_writes_nothing(written, capsys):
    folder = written[1]
    assert main(["generate", "--check", "--output", str(folder)]) == 0
    assert "every generated file is what its definition gives" in capsys.readouterr().out
    good = files_of(folder)
    changed = folder / "layers" / "dense.py"
    changed.write_text(changed.read_text().replace("def dense_forward", "def dense_backward"))
    (folder / "costs" / "quadratic.py").unlink()
    (folder / "rules" / "old.py").write_text(f'"""{MARK}."""\n')
    (folder / "filtering" / "f9_9.py").write_text(f'"""{MARK}."""\n')
    (folder / "mine.py").write_text("x = 1\n")
    stale = files_of(folder)

    assert main(["generate", "--check", "--output", str(folder)]) == 1
    out, err = capsys.readouterr()
    assert "-def dense_backward" in out and "+def dense_forward" in out and "+QUADRATIC = Cost(" in out
    named = ("layers/dense.py", "costs/quadratic.py", "rules/old.py", "filtering/f9_9.py")
    assert all(name in err for name in named) and err.count("\n") == 1
    assert files_of(folder) == stale

    assert main(["generate", "--output", str(folder)]) == 0
    assert files_of(folder) == {**good, "mine.py": b"x = 1\n"}  # what is not ours stays
    assert not [p for p in folder.iterdir() if p.name.startswith(".derive")]


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path, capsys):
    (tmp_path / "network.py").write_text("x = 1\n")
    assert main(["generate", "--output", str(tmp_path)]) == 2
    assert f"{tmp_path / 'network.py'}: not written by derive" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["network.py"]


GRADIENT_CHECK = """
import numpy as np, torch
from generated import Network

random = np.random.default_rng(0)
x, y = random.standard_normal((17, 9)), random.standard_normal((17, 4))
network = Network([("dense", 70), "tanh", ("dense", 4)], dtype="float64", random_state=0, inputs=9)
parameters = [{k: torch.tensor(v.copy(), requires_grad=True) for k, v in p.items()} for p in network.parameters]
first, _, last = parameters
a = torch.tanh(torch.tensor(x) @ (first["w"] ** 2).T + first["b"]) @ (last["w"] ** 2).T + last["b"]
(((torch.tensor(y) - a) ** 2).sum(1).mean() / 2).backward()
for ours, theirs in zip(network.gradients(x, y), parameters):
    for name, gradient in ours.items():
        want = theirs[name].grad.numpy()
        assert np.abs(gradient - want).max() <= 1e-12 * np.abs(want).max(), name
"""


def test_a_changed_definition_changes_kernels_docstrings_and_verdicts(tmp_path):
    pytest.importorskip("torch")
    for name in ("derive", "templates", "generated"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    before = verdicts(tmp_path)
    assert before["FC-3"] == "proved"
    definition = tmp_path / "derive" / "forward" / "dense.py"
    text = definition.read_text()
    assert text.count("w[j, k] * a[n, k]") == 1
    definition.write_text(text.replace("w[j, k] * a[n, k]", "w[j, k] ** 2 * a[n, k]"))

    assert run("-m", "derive", "generate", "--check", cwd=tmp_path).returncode == 1
    done = run("-m", "derive", "generate", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    kernels = (tmp_path / "generated" / "layers" / "dense.py").read_text()
    for equation in (
        "z[n, j] = b[j] + sum_k a[n, k]*w[j, k]**2",
        "delta_a[n, k] = sum_j delta_z[n, j]*w[j, k]**2",
        "nabla_w[j, k] = sum_n 2*a[n, k]*delta_z[n, j]*w[j, k]",
    ):
        left = equation.split("=")[0]
        assert equation in kernels, [line for line in kernels.splitlines() if left in line]
    others = {name: text for name, text in files_of(ROOT / "generated").items() if name != "layers/dense.py"}
    assert others == {k: v for k, v in files_of(tmp_path / "generated").items() if k != "layers/dense.py"}

    after = verdicts(tmp_path)
    assert after["FC-3"] != "proved" and after.keys() == before.keys()
    assert "FC-3 (proved" not in kernels and "FC-2 (proved" in kernels
    done = run("-c", GRADIENT_CHECK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def verdicts(folder: Path) -> dict[str, str]:
    """Our document's verdicts by the formulas' ids."""
    done = run("-m", "derive", "audit", "--format", "json", cwd=folder)
    assert done.returncode in (0, 1), done.stderr
    return {v["id"]: v["verdict"] for v in json.loads(done.stdout)}
