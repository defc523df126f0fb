"""`derive show NETWORK --plan`: it shows what a step is made of, as `fit` does it, and bad input is one line."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from commands import run

from derive.training.plan import multiplications
from generated import Network, load, program
from generated import network as network_module
from generated.configuration import read_configuration

CFG = """[net]
height=8
width=8
channels=2
batch=12
subdivisions=3
learning_rate=0.1
[convolutional]
batch_normalize=1
filters=5
size=3
pad=1
activation=relu
[maxpool]
size=2
stride=2
[connected]
output=3
activation=linear
[softmax]
"""
LAYERS = ["1 convolution", "2 batch_norm_darknet", "3 relu", "4 max_pooling", "5 flatten", "6 dense", "7 softmax"]


@pytest.fixture
def work(tmp_path, monkeypatch) -> Path:
    """A folder with a network, where the commands run; nothing is compiled there."""
    monkeypatch.chdir(tmp_path)
    Path("small.cfg").write_text(CFG)
    monkeypatch.setattr(program, "compile_kernel", None)
    return tmp_path


def rows(text: str, heading: str) -> list[dict[str, str]]:
    """The rows of the table whose first heading is this, cut where its columns begin and end."""
    lines = text.splitlines()
    begin = next(at for at, line in enumerate(lines) if line.split("  ")[0] == heading)
    table = [*lines[begin:], ""]
    table = table[: table.index("")]
    width = max(map(len, table))
    padded = [line.ljust(width) for line in table]
    free = [all(line[at : at + 2] == "  " for line in padded) for at in range(width)] + [True]
    found, at = [], 0
    while at < width:
        end = next(i for i in range(at, width + 1) if free[i])
        found.append((padded[0][at:end].strip(), at, end))
        at = next((i for i in range(end, width) if any(line[i] != " " for line in padded)), width)
    return [{name: line[at:end].strip() for name, at, end in found} for line in padded[1:]]


def shown(capsys, *arguments) -> str:
    code, out, err = run(capsys, "show", "small.cfg", "--plan", *arguments)
    assert (code, err) == (0, "")
    return out


def network(**settings) -> Network:
    layers = [("convolution", 5, 3, {"padding": 1}), "batch_norm", "relu", ("dense", 3), "softmax"]
    return Network(layers, cost="softmax_cross_entropy", inputs=(2, 8, 8), random_state=0, **settings)


# What is shown --------------------------------------------------------------------------------------------------------


def test_every_kernel_of_a_step_is_there_with_its_layer(work, capsys):
    found = rows(shown(capsys, "--batch", 4, "--threads", 1), "stage")
    kernels, layers = [row["kernel"] for row in found], {row["layer"].split(":")[0] for row in found}
    expected = ["convolution_forward", "max_pooling_input_sensitivity", "dense_w_gradient", "objective_forward"]
    assert all(kernels.count(name) == 1 for name in expected)
    assert {f"{LAYERS[1]}, {LAYERS[2]}", f"{LAYERS[6]}, cost softmax_cross_entropy", "cost", ""} <= layers
    assert {layer for layer in layers if layer in LAYERS} == {LAYERS[k] for k in (0, 1, 3, 4, 5)}
    updates = {row["layer"] for row in found if row["kernel"] == "momentum_darknet_update"}
    assert {row["layer"]: row["line"] for row in found if row["layer"] in LAYERS}[LAYERS[3]] == "14"  # [maxpool]
    assert updates == {
        f"{LAYERS[0]}: w",
        f"{LAYERS[1]}: gamma",
        f"{LAYERS[1]}: beta",
        f"{LAYERS[5]}: w",
        f"{LAYERS[5]}: b",
    }


def test_the_stages_are_those_that_fit_runs(monkeypatch):
    one, X = network(), np.random.default_rng(0).standard_normal((8, 2, 8, 8))
    one.fit(X, np.arange(8) % 3, epochs=1, batch_size=4, learning_rate=0.1, momentum=0.9, verbose=False)
    ((ran, _),) = [found for key, found in one._programs.items() if key[0] == "train"]
    planned = one.plan(4)
    for a, b in zip(ran.stages, planned.stages, strict=True):
        assert (a.grain, a.parallel) == (b.grain, b.parallel)
        assert [(c.kernel, c.layer, c.way) for c in a.calls] == [(c.kernel, c.layer, c.way) for c in b.calls]
    assert ran.memory.places == planned.memory.places


def test_kernels_that_share_a_stage_stand_under_its_number(work, capsys):
    found = rows(shown(capsys, "--batch", 4, "--threads", 1), "stage")[:-1]
    stages: list[list[str]] = []
    for row in found:
        if row["stage"]:
            stages.append([])
            assert row["stage"] == str(len(stages)) and row["bytes"] and row["threads"] == "1"
            assert re.fullmatch(r"[\d,]+ x [\d,]+", row["chunks"])
        stages[-1].append(row["kernel"])
    assert any({"max_pooling_forward", "dense_forward"} <= set(stage) for stage in stages)


def test_the_way_that_was_chosen_is_shown_with_its_reason(work, capsys, monkeypatch):
    whole = network_module.Network.plan

    def plan(self, *given, **settings):
        found = whole(self, *given, **settings)
        found.stages[:] = [
            replace(s, calls=[replace(c, way="F(2x2, 3x3)", why="it is shorter") for c in s.calls])
            for s in found.stages
        ]
        return found

    assert "why" not in shown(capsys).split() or any(row["why"] for row in rows(shown(capsys), "stage"))
    monkeypatch.setattr(network_module.Network, "plan", plan)
    found = rows(shown(capsys), "stage")[:-1]
    assert {(row["way"], row["why"]) for row in found} == {("F(2x2, 3x3)", "it is shorter")}


@pytest.mark.parametrize(
    ("layer", "inputs", "forward"),
    [
        (("dense", 7), 11, 4 * 7 * 11),
        (("convolution", 5, 3, {"padding": 1}), (2, 8, 6), 4 * 8 * 6 * 5 * 2 * 9),
        (("convolution", 5, (3, 1)[0], {"stride": 2}), (2, 9, 9), 4 * 4 * 4 * 5 * 2 * 9),
        (("grouped_convolution", 6, 3, {"groups": 2}), (4, 8, 8), 4 * 6 * 6 * 6 * 2 * 9),
    ],
)
def test_multiplications_are_those_of_the_sum(layer, inputs, forward):
    plan = Network(["linear", layer], inputs=inputs).plan(4)
    counted = {call.kernel.name: multiplications(call) for stage in plan.stages for call in stage.calls}
    weights = [count for name, count in counted.items() if name in (f"{layer[0]}_w_gradient", f"{layer[0]}_w_descent")]
    assert [counted[f"{layer[0]}_forward"], *weights] == [forward] * 2
    assert counted["objective_forward"] == 0


def test_multiplications_by_filtering_are_those_of_the_transformed_tiles():
    plan = Network([("convolution", 32, 3, {"padding": 1})], inputs=(16, 28, 27)).plan(64)
    counted = {call.kernel.name: multiplications(call) for stage in plan.stages for call in stage.calls}
    assert counted["convolution_forward_filtered"] == 64 * (4 * 4) * (14 * 14) * 16 * 32
    assert counted["convolution_forward_filters"] == 0


# Memory ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"training": False}, {"subdivisions": 2}])
def test_arrays_that_are_needed_at_once_have_places_of_their_own(settings):
    plan = network().plan(8, **settings)
    places, block = plan.memory.places, plan.memory.block
    assert block.nbytes == max(one.begin + one.bytes for one in places)
    for number, one in enumerate(places):
        for other in places[:number]:
            at_once = one.needed.start < other.needed.stop and other.needed.start < one.needed.stop
            assert not at_once or one.begin + one.bytes <= other.begin or other.begin + other.bytes <= one.begin


def test_places_are_where_the_kernels_of_their_stages_have_their_arrays():
    plan = network().plan(8)
    begin = plan.memory.block.ctypes.data
    for number, stage in enumerate(plan.stages):
        there = {a.ctypes.data - begin for call in stage.calls for a in call.arrays.values()}
        needed = {
            one.begin for one in plan.memory.places if one.needed.start == number or one.needed.stop == number + 1
        }
        assert needed <= there


def test_the_memory_is_shown_array_by_array(work, capsys):
    text = shown(capsys, "--batch", 4, "--threads", 1)
    plan = read_configuration("small.cfg").network().plan(4, rule="momentum_darknet", threads=1)
    found = rows(text, "array")
    assert len(found) == len(plan.memory.places)
    z = next(row for row in found if row["array"] == "z" and row["layer"] == "1 convolution")
    assert (z["shape"], z["bytes"]) == ("4 x 8 x 8 x 5", f"{4 * 8 * 8 * 5 * 4:,}")
    assert {row["type"] for row in found} == {"", "float64", "int16"}
    apart = sum(int(row["bytes"].replace(",", "")) for row in found)
    words = " ".join(text.split())
    assert f"a block of {plan.memory.block.nbytes:,} bytes" in words and f"would take {apart:,}." in words


# What may be asked for ------------------------------------------------------------------------------------------------


def test_a_step_is_of_as_many_samples_as_the_file_says_or_as_asked_for(work, capsys):
    text = shown(capsys)
    assert "small.cfg: a training step of 12 samples, of which 4 at a time; the update follows" in text
    assert "momentum_darknet_update" not in text
    text = shown(capsys, "--batch", 5)
    assert text.startswith("small.cfg: a training step of 5 samples\n") and "momentum_darknet_update" in text


def test_threads_accuracy_and_prediction_may_be_asked_for(work, capsys, monkeypatch):
    text = shown(capsys, "--inference", "--threads", 3, "--accuracy", "fast", "--batch", 4000)
    assert text.startswith("small.cfg: a prediction of 4,000 samples\nthreads 3, float32, accuracy fast\n")
    found = rows(text, "stage")
    assert "3" in {row["threads"] for row in found}
    assert not any("gradient" in row["kernel"] or "sensitivity" in row["kernel"] for row in found)
    assert {row["threads"] for row in rows(shown(capsys, "--threads", 1), "stage")} == {"1", ""}


def test_a_saved_network_has_the_plan_of_its_training(work, capsys, monkeypatch):
    monkeypatch.undo()
    monkeypatch.chdir(work)
    random = np.random.default_rng(0)
    np.savez("data.npz", X=random.standard_normal((24, 2, 8, 8)), y=np.arange(24) % 3)
    options = "--data", "data.npz", "--epochs", 1, "--output", "run", "--accuracy", "fast", "--momentum", 0.5
    assert run(capsys, "train", "small.cfg", *options)[0] == 0
    text = shown(capsys, "--accuracy", "fast")
    for path in ("run", "run/network.npz"):
        code, out, err = run(capsys, "show", path, "--plan")
        assert (code, err) == (0, "") and out.startswith(
            f"{path}: a training step of 12 samples, of which 4 at a time;"
        )
        for heading in ("stage", "array"):
            expected = [{key: word for key, word in row.items() if key != "line"} for row in rows(text, heading)]
            assert rows(out, heading) == expected
    code, out, _ = run(capsys, "show", "run", "--plan", "--batch", 7, "--accuracy", "direct")
    assert out.startswith("run: a training step of 7 samples\n") and "accuracy direct" in out
    assert "momentum_darknet_update" in out  # the rule that it was trained by
    load("run/network.npz").save("alone.npz")
    assert "alone.npz: a training step of 64 samples\n" in run(capsys, "show", "alone.npz", "--plan")[1]


def test_a_page_has_the_same_tables(work, capsys):
    class Reader(HTMLParser):
        def __init__(self):
            super().__init__()
            self.cells: list[str] = []

        def handle_starttag(self, tag, attributes):
            if tag in ("td", "th"):
                self.cells.append("")

        def handle_endtag(self, tag):
            if tag == "table":
                self.cells.append("")

        def handle_data(self, data):
            if self.cells:
                self.cells[-1] += data.strip()

    reader = Reader()
    reader.feed(shown(capsys, "--format", "html"))
    text = shown(capsys)
    for heading in ("stage", "array"):
        found = rows(text, heading)
        assert all(cell in reader.cells for row in found for cell in row.values())


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.cfg", "--plan"], "nothing.cfg: No such file or directory"),
        ([".", "--plan"], "network.npz: No such file or directory"),
        (["bad.cfg", "--plan"], "bad.cfg:4: there is no section [connect]"),
        (["bad.npz", "--plan"], "bad.npz is not a network that Network.save wrote"),
        (["small.cfg", "--plan", "--format", "latex"], "a plan comes as text or html"),
        (
            ["small.cfg", "--plan", "--batch", "10000000000000"],
            "small.cfg: 10,000,000,000,000 samples at once cannot be planned: ",
        ),
        (["small.cfg", "--plan", "--batch", "9" * 30], "samples at once cannot be planned: "),
        (["small.cfg", "--plan", "--batch", "0"], "--batch: '0' is not a whole number, 1 or more"),
        (["small.cfg", "--plan", "--threads", "x"], "--threads: 'x' is not a whole number, 1 or more"),
        (["small.cfg", "--plan", "--accuracy", "exact"], "--accuracy: invalid choice: 'exact'"),
        (["dense", "--batch", "3"], "--batch is for the plan of a network: add --plan"),
        (["dense", "--inference"], "--inference is for the plan of a network: add --plan"),
    ],
)
def test_bad_input_is_one_line(work, capsys, arguments, message):
    Path("bad.cfg").write_text("[net]\ninputs=4\n\n[connect]\noutput=3\n")
    Path("bad.npz").write_bytes(b"no network")
    code, out, err = run(capsys, "show", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1) and message in err and err.startswith("derive show: "), err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size must be an integer, 1 or more, not 0"),
        ({"batch_size": 4, "threads": 0}, "threads must be an integer, 1 or more, not 0"),
        ({"batch_size": 4, "subdivisions": 1.5}, "subdivisions must be an integer, 1 or more, not 1.5"),
        ({"batch_size": 4, "rule": "newton"}, "there is no update rule named 'newton'; there are "),
    ],
)
def test_a_plan_that_there_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        network().plan(**settings)
