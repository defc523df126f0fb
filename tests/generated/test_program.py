"""Programs of toy kernels: the loop, its stages, its errors, and the code kept on disk."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

import generated.engine
from generated.engine import contract_bias
from generated.program import FIXED, Call, Kernel, Program, Stage, compile_kernel


def dense(a, w, b, z, scratch, first, last):
    inputs, units = w.shape
    contract_bias(last - first, units, 1, inputs, a, first * inputs, inputs, 0, 1, w, 0, 0, units, 1,
                  z, first * units, units, scratch, b, 0)  # fmt: skip


def scale(z, y, factor, first, last):
    for n in range(first, last):
        for j in range(z.shape[1]):
            y[n, j] = factor * z[n, j]


def total(y, loss, first, last):
    loss[0] = 0
    for n in range(y.shape[0]):
        for j in range(y.shape[1]):
            loss[0] += y[n, j]


def pick(label, y, first, last):
    for n in range(first, last):
        y[n, label[n]] = 1


def allocate(y, first, last):
    y[:] = np.zeros(y.shape, y.dtype)


DENSE = Kernel(dense, ("a[n, k]", "w[k, j]", "b[j]", "z[n, j]", "scratch"), "n", ("z",))
SCALE = Kernel(scale, ("z[n, j]", "y[n, j]"), "n", ("y",), ("factor",))
TOTAL = Kernel(total, ("y[n, j]", "loss[one]"), "", ("loss",))
PICK = Kernel(pick, ("label[n]: int64", "y[n, j]"), "n", ("y",))


class Layer:
    """y = factor (a w + b) for a batch, and the sum of y as its loss."""

    def __init__(self, batch=12, inputs=40, units=30, dtype=np.float32, seed=0, **stage):
        random = np.random.default_rng(seed)
        self.a, self.z, self.y = (np.zeros((batch, size), dtype) for size in (inputs, units, units))
        self.w, self.b = random.standard_normal((inputs, units)).astype(dtype), np.ones(units, dtype)
        self.loss, self.factor = np.zeros(1, dtype), np.full(1, 0.5)
        forward = [
            Call(DENSE, {"a": self.a, "w": self.w, "b": self.b, "z": self.z}),
            Call(SCALE, {"z": self.z, "y": self.y}, {"factor": self.factor}),
        ]
        stages = [Stage(forward, **stage), Stage([Call(TOTAL, {"y": self.y, "loss": self.loss})])]
        self.program = Program(stages, dtype, gathered=[self.a], loss=self.loss)

    def train(self, data, order, first=0, last=None):
        """The steps' losses, and the number returned."""
        losses = np.zeros(len(order) // len(self.a))
        return losses, self.program.run_steps([data], order, first, len(losses) if last is None else last, losses)


def data(samples=60, inputs=40, dtype=np.float32):
    return np.random.default_rng(1).standard_normal((samples, inputs)).astype(dtype)


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_each_step_runs_the_stages_on_its_rows_and_keeps_its_loss(dtype):
    layer, x, order = Layer(dtype=dtype), data(dtype=dtype), np.random.default_rng(2).permutation(60)
    losses, done = layer.train(x, order)
    assert done == 5
    exact = [(0.5 * (x[rows].astype(float) @ layer.w + layer.b)).sum() for rows in order.reshape(5, 12)]
    np.testing.assert_allclose(losses, exact, rtol=2000 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(layer.a, x[order[-12:]])
    assert layer.program.steps_done[0] == 5


def test_steps_can_be_run_a_few_at_a_time():
    x, order = data(), np.arange(60)
    whole, _ = Layer().train(x, order)
    layer = Layer()
    first, done = layer.train(x, order, 0, 2)
    assert done == 2 and (first[2:] == 0).all()
    rest, done = layer.train(x, order, 2, 5)
    assert done == 5
    np.testing.assert_array_equal(first + rest, whole)


def test_a_scalar_changes_without_compiling_again():
    layer, x = Layer(), data()
    before, _ = layer.train(x, np.arange(60))
    layer.factor[0] = 1.0
    after, _ = layer.train(x, np.arange(60))
    np.testing.assert_array_equal(after, 2 * before)


def test_run_does_the_stages_once_on_what_the_arrays_hold():
    layer = Layer()
    layer.a[:] = 1
    layer.program.run()
    np.testing.assert_allclose(layer.y, np.tile(0.5 * (layer.w.sum(0) + 1), (12, 1)), rtol=1e-5, atol=1e-5)


def test_bits_do_not_depend_on_the_grain():
    x, order = data(), np.arange(60)
    results = []
    for grain in (0, 1, 5, 7, 12, 100):
        layer = Layer(grain=grain)
        losses, _ = layer.train(x, order)
        results.append((losses.tobytes(), layer.y.tobytes()))
    assert len(set(results)) == 1


def threaded_results() -> str:
    """What a parallel program computes, as text, for one and for more threads: the same line twice."""
    found = []
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        numba.set_num_threads(threads)
        layer = Layer(grain=2, parallel=True)
        losses, _ = layer.train(data(), np.arange(60))
        found.append((losses.tobytes() + layer.y.tobytes()).hex())
    assert found[0] == found[1]
    return found[0]


def test_bits_do_not_depend_on_the_number_of_threads():
    script = "import tests.generated.test_program as t; print(t.threaded_results())"
    outputs = set()
    for threads in ("1", "2", "3"):
        environment = {**os.environ, "NUMBA_NUM_THREADS": threads}
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        outputs.add(done.stdout.strip())
    layer = Layer()
    losses, _ = layer.train(data(), np.arange(60))
    assert outputs == {(losses.tobytes() + layer.y.tobytes()).hex()}


def test_a_loss_that_is_not_finite_ends_the_run_at_its_step():
    x = data()
    x[30, 3] = np.nan
    layer = Layer()
    losses, done = layer.train(x, np.arange(60))
    assert done == 2
    assert np.isfinite(losses[:2]).all() and np.isnan(losses[2]) and (losses[3:] == 0).all()


def test_an_array_may_have_a_dtype_of_its_own():
    y, label = np.zeros((3, 4), np.float32), np.array([2, 0, 3])
    Program([Stage([Call(PICK, {"label": label, "y": y})])], np.float32).run()
    np.testing.assert_array_equal(y, np.eye(4, dtype=np.float32)[label])


@pytest.mark.parametrize(
    "change, message",
    (
        (
            {"w": np.zeros((40, 30))},
            "w[k, j] must be C-contiguous, 2 axes of float32; it is C-contiguous, 2 axes of float64",
        ),
        ({"w": np.zeros((30, 40), np.float32).T}, "it is not contiguous"),
        ({"w": np.zeros((41, 30), np.float32)}, "index k has size 40 in a, but 41 in w"),
        ({"b": np.zeros((1, 30), np.float32)}, "b[j] must be C-contiguous, 1 axes of float32"),
        ({"b": None}, "array 'b' is missing"),
    ),
)
def test_an_array_that_does_not_fit_is_named(change, message):
    arrays = {"a": np.zeros((12, 40), np.float32), "w": np.zeros((40, 30), np.float32), "b": np.zeros(30, np.float32)}
    arrays |= {"z": np.zeros((12, 30), np.float32)} | change
    with pytest.raises(ValueError) as error:
        Call(DENSE, {name: array for name, array in arrays.items() if array is not None}).bind(np.dtype(np.float32))
    assert str(error.value).startswith("kernel dense: ") and message in str(error.value)


def test_a_missing_scalar_is_named():
    z = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match="kernel scale: scalar 'factor' must be a float64 array of one element"):
        Call(SCALE, {"z": z, "y": z}).bind(np.dtype(np.float32))


def test_a_kernel_that_is_described_wrongly_is_refused():
    with pytest.raises(ValueError, match="kernel total: argument 'loss' is neither"):
        _ = Kernel(total, ("y[n, j]", "loss"), "n").sizes
    with pytest.raises(ValueError, match="kernel total: no array has its split index 'm'"):
        _ = Kernel(total, ("y[n, j]", "loss[one]"), "m").sizes


def test_kernels_of_one_stage_must_split_together():
    y, z = np.zeros((3, 4), np.float32), np.zeros((5, 4), np.float32)
    one = np.ones(1)
    calls = [Call(SCALE, {"z": array, "y": array}, {"factor": one}) for array in (y, z)]
    with pytest.raises(ValueError, match="splits of a stage.s kernels must be multiples of the shortest"):
        Program([Stage(calls)], np.float32)


@pytest.mark.parametrize("order", (np.full(60, 60), np.full(60, -1), np.arange(60)[:30], np.arange(60.0)))
def test_row_numbers_that_do_not_fit_are_refused(order):
    layer, losses = Layer(), np.zeros(5)
    with pytest.raises(ValueError):
        layer.program.run_steps([data()], order, 0, 5, losses)


@pytest.mark.parametrize("x", (data(inputs=39), data(dtype=np.float64), np.asfortranarray(data())))
def test_data_that_do_not_fit_are_refused(x):
    with pytest.raises(ValueError, match="data"):
        Layer().train(x, np.arange(60))


def test_a_kernel_that_allocates_does_not_compile():
    with pytest.raises(numba.core.errors.NumbaError):
        compile_kernel(Kernel(allocate, ("y[n, j]",), "n"), np.dtype(np.float32))


# The code on disk ----------------------------------------------------------------------------------------------------

SCRIPT = """
import sys
import numpy as np
from generated.program import Call, Kernel, Program, Stage, compile_kernel
from mine.kernels import curve, dense

n, m = 20, 50
x, y = np.linspace(-1, 1, n * m, dtype=np.float32).reshape(n, m), np.zeros((n, m), np.float32)
w, z, b = np.eye(m, dtype=np.float32), np.zeros((n, m), np.float32), np.zeros(m, np.float32)
CURVE = Kernel(curve, ("x[n, m]", "y[n, m]"), "n", ("y",))
DENSE = Kernel(dense, ("a[n, k]", "w[k, j]", "b[j]", "z[n, j]", "scratch"), "n", ("z",))
calls = [Call(CURVE, {"x": x, "y": y}), Call(DENSE, {"a": y, "w": w, "b": b, "z": z})]
Program([Stage(calls)], np.float32).run()
hits = [compile_kernel(k, np.dtype(np.float32)).cache_hits for k in (CURVE, DENSE)]
print(*hits, round(float(z[-1, -1]), 3))
"""

KERNELS = """
from generated.engine import contract_bias
from generated.functions import exp

def curve(x, y, first, last):
    for n in range(first, last):
        for m in range(x.shape[1]):
            y[n, m] = exp(x[n, m])

def dense(a, w, b, z, scratch, first, last):
    inputs, units = w.shape
    contract_bias(last - first, units, 1, inputs, a, first * inputs, inputs, 0, 1, w, 0, 0, units, 1,
                  z, first * units, units, scratch, b, 0)
"""


class Copy:
    """A copy of the package with kernels of a user's own beside it, and a cache of its own."""

    def __init__(self, folder: Path):
        self.folder, self.cache = folder, folder / "cache" / "backderive"
        shutil.copytree(Path(generated.engine.__file__).parent, folder / "generated")
        (folder / "mine").mkdir()
        (folder / "mine" / "kernels.py").write_text(KERNELS)

    def run(self, **environment) -> str:
        """What the script prints: whether each kernel came from the disk, and a result."""
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(self.folder / "cache"), **environment}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], cwd=self.folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def replace(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


@pytest.fixture
def copy(tmp_path):
    return Copy(tmp_path)


def test_a_second_process_finds_the_code_of_the_first(copy):
    assert copy.run() == "0 0 2.718"
    assert copy.run() == "1 1 2.718"


def test_a_change_of_a_function_that_a_kernel_calls_recompiles_it(copy):
    assert copy.run() == "0 0 2.718"
    copy.replace("generated/functions.py", "r * r, r) + one)", "r * r, r) + two)")
    assert copy.run() == "0 0 4.718"


def test_a_change_of_the_engine_recompiles_it(copy):
    assert copy.run() == "0 0 2.718"
    copy.replace(
        "generated/engine.py", "_fma(builder, scalar, bs[v],", "_fma(builder, scalar, builder.fadd(bs[v], bs[v]),"
    )
    assert copy.run() == "0 0 5.437"


def test_a_change_of_a_users_kernel_recompiles_it(copy):
    copy.run()
    copy.replace("mine/kernels.py", "exp(x[n, m])", "exp(x[n, m]) + x[n, m]")
    assert copy.run() == "0 0 3.718"


def test_other_lanes_with_a_warm_cache_are_compiled_anew(copy):
    for lanes in ("8", "16", "4"):
        assert copy.run(BACKDERIVE_LANES=lanes) == "0 0 2.718"
    for lanes in ("8", "16", "4"):
        assert copy.run(BACKDERIVE_LANES=lanes) == "1 1 2.718"


def test_a_broken_file_in_the_cache_is_compiled_anew(copy):
    copy.run()
    for path in copy.cache.glob("*.code"):
        path.write_bytes(path.read_bytes()[:100])
    assert copy.run() == "0 0 2.718"
    assert copy.run() == "1 1 2.718"


def test_processes_that_start_together_share_a_cache(copy):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(copy.folder / "cache")}
    started = [
        subprocess.Popen([sys.executable, "-c", SCRIPT], cwd=copy.folder, env=environment, stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    assert all(process.communicate()[0].split()[-1] == b"2.718" for process in started)
    assert copy.run() == "1 1 2.718"
    assert not [path for path in copy.cache.iterdir() if path.suffix != ".code"]


def test_a_cache_that_cannot_be_written_costs_only_time(copy):
    copy.cache.parent.mkdir()
    copy.cache.write_text("a file where the folder should be")
    assert copy.run(TMPDIR=str(copy.folder)) == "0 0 2.718"


def test_what_is_fixed_for_a_kernel_is_compiled_into_it_where_there_is_much_to_do():
    kernel = Kernel(scale, ("z[n, j]", "y[n, j]"), "n", ("y",), ("factor",), fixed=("factor", "j"))
    for factor, rows in ((2, 2), (2, FIXED // 3 + 1), (5, FIXED // 3 + 1)):
        z = np.arange(3 * rows, dtype=np.float32).reshape(rows, 3)
        call = Call(kernel, {"z": z, "y": np.zeros_like(z)}, {"factor": np.array([float(factor)])})
        assert call.fixed == ((("factor", factor), ("j", 3)) if rows > 2 else ())
        Program([Stage([call])], np.float32).run()
        np.testing.assert_array_equal(call.arrays["y"], factor * z)
