"""What is installed is enough: `generated` with NumPy and Numba alone, the commands from a wheel."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TRAIN = """
import importlib.util
import sys

for name in ("sympy", "scipy", "jinja2", "mpmath", "derive"):
    assert importlib.util.find_spec(name) is None, f"{name} can be imported"

import numpy as np
from generated import Network, load

random = np.random.default_rng(0)
y = random.integers(2, size=200)
X = random.standard_normal((200, 5)) + 3 * np.eye(2, 5)[y]
network = Network([("dense", 9), "relu", ("dense", 2), "softmax"], cost="softmax_cross_entropy", random_state=0)
network.fit(X, y, epochs=20, momentum=0.9)
assert network.score(X, y) > 0.95
network.save("network.npz")
assert (load("network.npz").predict(X) == network.predict(X)).all()
"""


def environment() -> dict[str, str]:
    """This process's, without what would make our checkout importable."""
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}


def run(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(list(map(str, arguments)), cwd=cwd, env=environment(), capture_output=True, text=True)


def fresh_environment(folder: Path) -> Path:
    """A new virtual environment; the folder of its programs."""
    venv.create(folder, with_pip=True)
    return folder / ("Scripts" if os.name == "nt" else "bin")


def test_generated_trains_where_only_numpy_and_numba_are_installed(tmp_path):
    programs = fresh_environment(tmp_path / "venv")
    pinned = [f"{name}=={importlib.metadata.version(name)}" for name in ("numpy", "numba")]
    done = run(programs / "python", "-m", "pip", "install", "--quiet", *pinned, cwd=tmp_path)
    if done.returncode:
        reason = f"pip cannot install {', '.join(pinned)} here: {done.stderr.strip().splitlines()[-1:]}"
        if os.environ.get("BACKDERIVE_CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    project = tmp_path / "project"
    shutil.copytree(ROOT / "generated", project / "generated", ignore=shutil.ignore_patterns("__pycache__"))
    done = run(programs / "python", "-c", TRAIN, cwd=project)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Our wheel, built from a copy of what a checkout holds."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__", ".*", "derive-demo", "dist", "build")
    shutil.copytree(ROOT, source, ignore=ignored)
    done = run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, source, cwd=folder)
    if done.returncode and "hatchling" in done.stderr and not os.environ.get("BACKDERIVE_CI"):
        pytest.skip(f"pip cannot get hatchling here: {done.stderr.strip().splitlines()[-1:]}")
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("backderive-*.whl")
    return built


def test_the_wheel_holds_templates_documents_and_generated_modules(wheel):
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = {f"derive/{p.relative_to(ROOT)}" for p in (ROOT / "templates").rglob("*") if p.suffix in (".j2", ".py")}
    for folder, pattern in (("derive", "*.py"), ("derive/documents", "*.md"), ("generated", "*.py")):
        wanted |= {p.relative_to(ROOT).as_posix() for p in (ROOT / folder).rglob(pattern)}
    assert {
        "derive/templates/kernels.py.j2",
        "derive/templates/runtime/network.py",
        "generated/layers/dense.py",
    } <= wanted
    assert {name for name in inside if "__pycache__" not in name} >= wanted
    assert {name.split("/")[0] for name in inside} == {"derive", "generated"}


def test_the_commands_work_from_the_wheel(wheel, tmp_path):
    programs = fresh_environment(tmp_path / "venv")
    done = run(programs / "python", "-m", "pip", "install", "--quiet", "--no-deps", wheel, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (site,) = (tmp_path / "venv").rglob("site-packages")
    # The rest comes from where this test runs: its folder is searched last, so that the wheel's packages are used.
    (site / "rest.pth").write_text(sysconfig.get_path("purelib") + "\n")
    done = run(programs / "derive", "show", "dense", cwd=tmp_path)
    assert done.returncode == 0 and "nabla_w[j, k] = sum_n a[n, k]*delta_z[n, j]" in done.stdout, done.stderr
    done = run(programs / "derive", "generate", "--check", cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    done = run(
        programs / "python", "-c", "import derive, generated; print(derive.__file__, generated.__file__)", cwd=tmp_path
    )
    assert all(path.startswith(str(site)) for path in done.stdout.split()), done.stdout
