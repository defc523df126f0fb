"""Run every comparison, print the table, write results.json; ``--readme`` puts the table into README.md."""

import argparse
import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import llvmlite.binding as llvm
import numba
import numpy as np

from benchmarks import detector, layers, memory, networks, peak
from benchmarks.gains import gains
from benchmarks.startup import first_step
from benchmarks.timing import Spread, interleaved, ratios, spread
from derive.files import write_whole
from generated.native import LANES

HERE = Path(__file__).resolve().parent
RESULTS, README = HERE / "results.json", HERE.parent / "README.md"
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"


def _row(
    name: str, measure: str, ours: Spread, theirs: Spread, ratio: Spread, goal: float, scale: float, unit: str
) -> dict:
    def scaled(s: Spread) -> dict[str, float]:
        return Spread(s.median * scale, s.low * scale, s.high * scale).json()

    print(
        f"{name}: {ours.median * scale:.3g} {unit} against {theirs.median * scale:.3g}; ratio {ratio}, goal {goal}",
        flush=True,
    )
    return {
        "name": name, "measure": measure, "unit": unit, "ours": scaled(ours), "theirs": scaled(theirs),
        "ratio": ratio.json(), "goal": goal,
    }  # fmt: skip


def _best(seconds: dict[str, list[float]], prefix: str) -> str:
    """The candidate of lowest median whose name begins so: a peer at its best thread count."""
    return min((n for n in seconds if n.startswith(prefix)), key=lambda n: spread(seconds[n]).median)


def _threads(call, count: int):
    def run() -> None:
        numba.set_num_threads(count)
        call()

    return run


def small_network(rounds: int) -> list[dict]:
    """784-30-10: an epoch, against PyTorch eager and JAX's scan."""
    X, y = networks.digits()
    Y, epochs, cores = networks.one_hot(y), 3, numba.config.NUMBA_NUM_THREADS
    candidates = {"ours": networks.small(X, Y, epochs), "JAX": networks.jax_scan(networks.SMALL, X, Y, epochs)}
    for threads in sorted({1, cores}):
        candidates[f"PyTorch, {threads} threads"] = networks.pytorch(networks.SMALL, X, y, epochs, threads)
    seconds = {n: [s / epochs for s in v] for n, v in interleaved(candidates, rounds).items()}
    rows = []
    for peer, goal in ((_best(seconds, "PyTorch"), 0.06), ("JAX", 0.60)):
        rows.append(
            _row(
                f"784-30-10 against {peer}", "epoch of 5,000 digits, logistic, quadratic cost, mini-batches of 10",
                spread(seconds["ours"]), spread(seconds[peer]), ratios(seconds["ours"], seconds[peer]), goal, 1e3, "ms",
            )
        )  # fmt: skip
    return rows


def wide_network(rounds: int) -> list[dict]:
    """784-512-512-10: a step, against PyTorch eager, each at its best thread count and both on one thread."""
    X, y = networks.digits()
    Y, cores = networks.one_hot(y), numba.config.NUMBA_NUM_THREADS
    train, candidates = networks.wide(X, Y, 1), {}
    for threads in sorted({1, cores}):
        candidates[f"ours, {threads} threads"] = _threads(train, threads)
        candidates[f"PyTorch, {threads} threads"] = networks.pytorch(networks.WIDE, X, y, 1, threads)
    steps = len(X) / networks.WIDE.batch
    seconds = {n: [s / steps for s in v] for n, v in interleaved(candidates, rounds).items()}
    pairs = {_best(seconds, "ours"): _best(seconds, "PyTorch"), "ours, 1 threads": "PyTorch, 1 threads"}
    return [
        _row(
            f"784-512-512-10, {ours.split(', ')[1]}, against {peer}", "step, relu, softmax cross-entropy, batch 128",
            spread(seconds[ours]), spread(seconds[peer]), ratios(seconds[ours], seconds[peer]), 0.8, 1e3, "ms",
        )
        for ours, peer in pairs.items()
    ]  # fmt: skip


def _geometric_mean(name: str, measure: str, found: list[list[float]], goal: float) -> dict:
    """A row of the geometric mean of ratios, each given round by round: of their medians, its quartiles over the rounds."""
    means = [float(np.exp(np.mean(np.log(at)))) for at in zip(*found, strict=True)]
    mean = float(np.exp(np.mean([np.log(spread(one).median) for one in found])))
    whole = Spread(mean, spread(means).low, spread(means).high)
    print(f"{name}, {measure}: {whole}, goal {goal}", flush=True)
    return {"name": name, "measure": measure, "ratio": whole.json(), "goal": goal}


def single_layers(rounds: int) -> list[dict]:
    """Each layer by itself, forward and backward, against PyTorch in the faster of its two layouts."""
    rows = []
    for threads in sorted({1, numba.config.NUMBA_NUM_THREADS}):
        found: dict[str, list[list[float]]] = {accuracy: [] for accuracy in layers.ACCURACIES}
        for case in (*layers.CONVOLUTIONS, *layers.SLOW_IN_PYTORCH):
            convolves = case in layers.CONVOLUTIONS
            seconds = layers.compare(case, threads, rounds, layers.ACCURACIES if convolves else layers.ACCURACIES[:1])
            ours, theirs = seconds.ours["default"]["both"], seconds.theirs["both"]
            rows.append(
                _row(
                    f"{case.title}, {threads} threads, against PyTorch ({seconds.layout})",
                    "forward and backward" + ("" if convolves else f", {case.shape}"),
                    spread(ours), spread(theirs), ratios(ours, theirs), 1.1 if convolves else 0.4, 1e3, "ms",
                )
            )  # fmt: skip
            for accuracy in layers.ACCURACIES if convolves else ():
                both = seconds.ours[accuracy]["both"]
                found[accuracy].append([a / b for a, b in zip(both, theirs, strict=True)])
        for accuracy, goal in zip(layers.ACCURACIES, (0.8, 0.7), strict=True):
            title = f"these {len(found[accuracy])} convolutions, {threads} threads" + _shown(accuracy)
            rows.append(_geometric_mean(title, "geometric mean of the ratios", found[accuracy], goal))
    return rows


def _shown(accuracy: str) -> str:
    """What a row's name says of the accuracy, if it is not the default."""
    return "" if accuracy == layers.ACCURACIES[0] else f', accuracy="{accuracy}"'


def filtered_layers(rounds: int) -> list[dict]:
    """The convolutions that minimal filtering can take, each pass against PyTorch in its layout that is faster for that."""
    rows = []
    for threads in sorted({1, numba.config.NUMBA_NUM_THREADS}):
        found: dict[str, list[list[float]]] = {accuracy: [] for accuracy in layers.ACCURACIES}
        for case in layers.FILTERED:
            for accuracy, by_pass in layers.compare_parts(case, threads, rounds).items():
                found[accuracy] += by_pass.values()
                shown = ", ".join(f"{name} {spread(one)}" for name, one in by_pass.items())
                print(f"{case.title}, {threads} threads{_shown(accuracy)}: {shown}", flush=True)
        for accuracy, goal in zip(layers.ACCURACIES, (0.7, 0.5), strict=True):
            title = f"the {len(layers.FILTERED)} convolutions 3x3 of stride 1, {threads} threads{_shown(accuracy)}"
            passes = ", ".join(layers.PARTS)
            rows.append(_geometric_mean(title, f"geometric mean of the ratios: {passes}", found[accuracy], goal))
    return rows


def share_of_peak(rounds: int) -> list[dict]:
    """Operations a second of the contractions inside fit, over those of the processor's peak in the same rounds."""
    rows, goal = [], 0.85
    shapes = (
        (f"dense {peak.WIDTH} x {peak.WIDTH}, batch {peak.BATCH}", peak.dense),
        (f"convolution ({peak.IMAGES}, {peak.CHANNELS}, {peak.SIDE}, {peak.SIDE}), 3x3, directly", peak.convolution),
    )
    for threads in sorted({1, numba.config.NUMBA_NUM_THREADS}):
        networks = {name: make(threads) for name, make in shapes}
        seconds = interleaved({**peak.seconds_of_operations(threads), **networks}, rounds)
        best = _best(seconds, "peak")
        for name in networks:
            share = ratios(seconds[best], seconds[name])
            rates = {who: spread([1 / s for s in seconds[at]]) for who, at in (("ours", name), ("theirs", best))}
            title = f"{name}, {threads} threads: share of the peak of fused multiply-adds inside fit"
            print(f"{title}: {share}, goal at least {goal}", flush=True)
            rows.append(
                {
                    "name": title, "measure": f"against chains in registers, {best.split(', ')[1]}", "unit": "GFLOP/s",
                    **{who: Spread(*(v * 1e-9 for v in (r.median, r.low, r.high))).json() for who, r in rates.items()},
                    "ratio": share.json(), "goal": goal, "least": True,
                }
            )  # fmt: skip
    return rows


def convolutional_network(rounds: int) -> list[dict]:
    """A training step of networks/fashion.cfg, against PyTorch eager in its best layout, each at its best thread count."""
    steps, batch, cores = 10, 64, numba.config.NUMBA_NUM_THREADS
    X, y = networks.images(steps * batch)
    train, candidates = networks.convolutional_ours(X, y, batch), {}
    for threads in sorted({1, cores}):
        candidates[f"ours, {threads} threads"] = _threads(train, threads)
        for layout in layers.LAYOUTS:
            peer = networks.convolutional_pytorch(X, y, batch, threads, layout)
            candidates[f"PyTorch, {threads} threads, {layout}"] = peer
    seconds = {n: [s / steps for s in v] for n, v in interleaved(candidates, rounds).items()}
    pairs = {_best(seconds, "ours"): _best(seconds, "PyTorch"), "ours, 1 threads": _best(seconds, "PyTorch, 1 threads")}
    rows = [
        _row(
            f"convolutional network, {ours.split(', ')[1]}, against {peer}",
            f"step, networks/fashion.cfg, momentum, weight decay, batch {batch}",
            spread(seconds[ours]), spread(seconds[peer]), ratios(seconds[ours], seconds[peer]), 0.6, 1e3, "ms",
        )
        for ours, peer in pairs.items()
    ]  # fmt: skip
    most, least = memory.of_step(networks.convolutional(), X[:batch], y[:batch], **networks.RULE)
    print(f"memory of a step: {most / 1e6:.1f} MB at the peak, {least / 1e6:.1f} MB needed at once", flush=True)
    rows.append(
        {
            "name": "memory of a step of this network", "measure": "peak over what its equations need at once", "unit": "MB",
            "ours": Spread(*[most / 1e6] * 3).json(), "theirs": Spread(*[least / 1e6] * 3).json(),
            "ratio": Spread(*[most / least] * 3).json(), "goal": 1.2,
        }
    )  # fmt: skip
    return rows


def yolo(rounds: int) -> list[dict]:
    """YOLOv3-tiny: a forward pass and a training step, against PyTorch eager in its best layout and Debian's darknet."""
    title, steps, cores = "YOLOv3-tiny", 10, numba.config.NUMBA_NUM_THREADS
    if not detector.configuration_file():
        return [_skipped(title, "there is no yolov3-tiny.cfg: install Debian's darknet, or set BACKDERIVE_DATA")]
    with tempfile.TemporaryDirectory() as folder:
        peer = detector.Darknet(Path(folder), steps) if shutil.which("darknet") else None
        forward: dict[str, Callable[[], object]] = {"Darknet": peer.forward} if peer else {}
        training: dict[str, Callable[[], object]] = {"Darknet": peer.step} if peer else {}
        for threads in sorted({1, cores}):
            forward[f"ours, {threads} threads"] = detector.forward_ours(threads)
            training[f"ours, {threads} threads"] = detector.steps_ours(steps, threads)
            for layout in layers.LAYOUTS:
                name = f"PyTorch, {threads} threads, {layout}"
                forward[name] = detector.forward_pytorch(threads, layout)
                training[name] = detector.steps_pytorch(steps, threads, layout)
        measured = (
            (forward, 1, f"forward, a picture of {detector.SIDE} x {detector.SIDE}"),
            (training, steps, f"training step, batch {detector.BATCH}, {detector.TRAINING_SIDE} x {detector.TRAINING_SIDE}"),
        )  # fmt: skip
        rows = []
        for candidates, count, measure in measured:
            seconds = interleaved(candidates, rounds)
            seconds = {n: [s / (1 if n == "Darknet" else count) for s in v] for n, v in seconds.items()}
            pairs = [("ours, 1 threads", _best(seconds, "PyTorch, 1 threads"), 1.0)]
            if cores > 1:
                pairs.insert(0, (_best(seconds, "ours"), _best(seconds, "PyTorch"), 1.0))
            pairs += [("ours, 1 threads", "Darknet", 0.35)] if peer else []
            rows += [
                _row(
                    f"{title}, {ours.split(', ')[1]}, against {other}", measure,
                    spread(seconds[ours]), spread(seconds[other]), ratios(seconds[ours], seconds[other]), goal, 1e3, "ms",
                )
                for ours, other, goal in dict.fromkeys(pairs)  # the best may be those of one thread
            ]  # fmt: skip
    return rows if peer else [*rows, _skipped(f"{title} against Darknet", "there is no command darknet")]


def _skipped(name: str, why: str) -> dict:
    """A row that says why there is nothing in it."""
    print(f"{name}: skipped, {why}", flush=True)
    return {"name": name, "skipped": why}


def start(rounds: int) -> dict:
    """A fresh process to its first step."""
    first_step()  # compiles what is not on disk yet
    seconds = spread([first_step() for _ in range(rounds)])
    print(f"first training step in a fresh process: {seconds} s, goal 3", flush=True)
    return {
        "name": "first training step in a fresh process", "measure": "784-512-512-10, kernels on disk, with imports",
        "unit": "s", "ours": seconds.json(), "goal": 3,
    }  # fmt: skip


def processor() -> dict:
    """What the figures were measured on."""
    import jax
    import torch

    name = platform.processor()
    if Path("/proc/cpuinfo").is_file():
        name = next(
            (x.split(":")[1].strip() for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x), name
        )
    return {
        "processor": name, "architecture": llvm.get_host_cpu_name(), "float32 lanes": LANES, "cores": os.cpu_count(),
        "python": platform.python_version(), "numpy": np.__version__, "numba": numba.__version__,
        "torch": torch.__version__, "jax": jax.__version__,
    }  # fmt: skip


def table(results: dict) -> str:
    """The results as the README shows them."""
    lines = ["| what | ours | theirs | ratio of times (quartiles) | goal |", "| --- | --- | --- | --- | --- |"]
    for row in results["rows"]:
        if "skipped" in row:
            lines.append(f"| {row['name']} | | | skipped: {row['skipped']} | |")
            continue
        ours, theirs = (f"{row[who]['median']:.3g} {row['unit']}" if who in row else "" for who in ("ours", "theirs"))
        ratio, goal = "", f"under {row['goal']:g} {row.get('unit')}"
        if "ratio" in row:
            r = row["ratio"]
            spreads = f" ({r['low']:.2g} to {r['high']:.2g})" if r["low"] < r["high"] else ""
            ratio, goal = (
                f"**{r['median']:.2g}**{spreads}",
                f"at {'least' if row.get('least') else 'most'} {row['goal']:g}",
            )
        lines.append(f"| {row['name']}: {row['measure']} | {ours} | {theirs} | {ratio} | {goal} |")
    m = results["machine"]
    lines += [
        "",
        *gains(results),
        "",
        f"Medians of interleaved runs on {m['cores']} cores of {m['processor']} ({m['architecture']}, "
        f"{m['float32 lanes']} float32 lanes), NumPy {m['numpy']}, Numba {m['numba']}, PyTorch {m['torch']}, "
        f"JAX {m['jax']}.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds of every comparison")
    parser.add_argument(
        "--readme", action="store_true", help="put the table of results.json into README.md; measure nothing"
    )
    asked = parser.parse_args()
    if not asked.readme:
        measured = (
            small_network, wide_network, share_of_peak, convolutional_network, yolo, single_layers, filtered_layers,
        )  # fmt: skip
        rows = [row for measure in measured for row in measure(asked.rounds)] + [start(max(3, asked.rounds // 3))]
        write_whole(RESULTS, json.dumps({"machine": processor(), "rows": rows}, indent=2) + "\n")
    results = json.loads(RESULTS.read_text())
    print("\n" + table(results))
    text = README.read_text(encoding="utf-8")
    if asked.readme and BEGIN in text:
        block = f"{BEGIN}\n{table(results)}\n{END}"
        write_whole(README, re.sub(f"{BEGIN}.*?{END}", lambda _: block, text, flags=re.S))


if __name__ == "__main__":
    main()
