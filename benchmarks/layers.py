"""Single layers forward and backward: our kernels in the stages of a plan, PyTorch in the faster of its two layouts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np

from benchmarks.timing import interleaved, spread
from generated.definition import LAYERS, stored, tensor
from generated.graph import Graph, entry_of
from generated.plan import computed, stages
from generated.program import Kernel, Program, zeros


@dataclass(frozen=True)
class Case:
    """A layer of ours on inputs (N, C, H, W), and PyTorch's: `make(torch)` gives a module for the same."""

    title: str
    layer: str
    shape: tuple[int, int, int, int]
    make: Callable[[Any], Any]
    sizes: tuple[int, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)


BIG = (32, 64, 56, 56)


def normalised(torch: Any) -> Any:
    """Batch normalisation and the leaky rectifier after it."""
    return torch.nn.Sequential(torch.nn.BatchNorm2d(BIG[1]), torch.nn.LeakyReLU(0.1, inplace=True))


def convolved(shape: tuple[int, int, int, int], filters: int, size: int, stride: int = 1) -> Case:
    """A convolution with as much padding as keeps the plane where the stride is 1."""
    padding = size // 2
    return Case(
        f"convolution {shape}, {filters} filters {size}x{size}" + (f", stride {stride}" if stride > 1 else ""),
        "convolution",
        shape,
        lambda torch: torch.nn.Conv2d(shape[1], filters, size, stride, padding),
        (filters, size),
        {"stride": stride, "padding": padding},
    )


CONVOLUTIONS = (
    convolved((64, 16, 28, 28), 32, 3),
    convolved((8, 64, 56, 56), 64, 3),
    convolved((1, 128, 52, 52), 256, 3),
    convolved((1, 3, 416, 416), 16, 3),
    convolved((8, 256, 14, 14), 64, 1),
    convolved((8, 64, 56, 56), 128, 3, 2),
    Case(
        "depthwise convolution (16, 32, 28, 28), 3x3", "depthwise_convolution", (16, 32, 28, 28),
        lambda torch: torch.nn.Conv2d(32, 32, 3, 1, 1, groups=32), (3,), {"stride": 1, "padding": 1},
    ),
)  # fmt: skip
FILTERED = tuple(c for c in CONVOLUTIONS if c.layer == "convolution" and c.sizes[1] == 3 and c.settings["stride"] == 1)
"""Those with 3x3 filters and stride 1, which minimal filtering can take."""
SLOW_IN_PYTORCH = (
    Case("batch normalisation + leaky", "batch_norm_leaky", BIG, normalised),
    Case("max pooling 2x2", "max_pooling", BIG, lambda torch: torch.nn.MaxPool2d(2)),
)


ACCURACIES = ("default", "fast")


class Ours:
    """The passes of a case on arrays of its own, in single precision, by name: what each of PASSES and PARTS runs."""

    def __init__(self, case: Case, threads: int, accuracy: str = "default"):
        layer = LAYERS[case.layer]
        batch, *sample = case.shape
        one = Graph([entry_of((case.layer, *case.sizes, case.settings), 0)], tuple(sample)).layers[0]
        assert one is not None
        kept = (slot.replace("[", f"{new}[") for slot in layer.states for new in ("", "_new"))
        slots = dict(map(tensor, [*map(stored, (*layer.inputs, *layer.outputs)), *layer.storage, *kept]))
        slots |= {f"delta_{name}": axes for name, axes in slots.items()}
        slots |= {f"nabla_{name}": axes for name, axes in map(tensor, layer.storage)}
        random = np.random.default_rng(0)
        self.arrays: dict[str, np.ndarray] = {}
        for name, axes in slots.items():
            shape = one.axes(f"{name}[{', '.join(axes)}]", batch)
            self.arrays[name] = zeros(shape, np.float32)
            self.arrays[name][...] = random.standard_normal(shape, dtype=np.float32)
        for slot in layer.buffers:
            dtype = np.dtype(slot.partition("]: ")[2] or np.float32)
            self.arrays[tensor(slot)[0]] = zeros(one.axes(slot, batch), dtype)

        numba.set_num_threads(threads)

        def run(kernels: Sequence[Kernel]) -> Callable[[], None]:
            calls = [
                call
                for k in kernels
                for call in computed(k, self.arrays, one.settings, "", accuracy, lambda shape: zeros(shape, np.float32))
            ]
            return Program(stages(calls, threads), np.float32).run

        self.forward, self.backward = run(layer.forward), run(layer.backward)
        data, weights = (f"delta_{tensor(layer.inputs[0])[0]}",), ("nabla_w",)
        self.parts = {"forward": self.forward}
        for name, writes in (("backward-data", data), ("backward-weights", weights)):
            kernels = [k for k in layer.backward if k.writes == writes]
            if kernels:
                self.parts[name] = run(kernels)


def pytorch(case: Case, layout: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """The forward and the backward pass of the case in PyTorch."""
    import torch

    module = case.make(torch).to(memory_format=getattr(torch, layout))
    x = torch.randn(case.shape).to(memory_format=getattr(torch, layout)).requires_grad_()
    y = module(x)
    delta = torch.randn_like(y)
    inputs = [x, *module.parameters()]
    return lambda: module(x), lambda: torch.autograd.grad(y, inputs, delta, retain_graph=True)


def parts_pytorch(case: Case, layout: str) -> dict[str, Callable[[], object]]:
    """The passes of a convolution in PyTorch, backward to its input and to its filters each by itself."""
    import torch

    form, module = getattr(torch, layout), case.make(torch)
    w, b = (p.detach() for p in (module.weight, module.bias))
    x, w = torch.randn(case.shape).to(memory_format=form), w.to(memory_format=form)
    window = (module.stride, module.padding, module.dilation)
    delta = torch.randn_like(torch.conv2d(x, w, b, *window, module.groups))

    def backward(*wanted: bool) -> Callable[[], object]:
        return lambda: torch.ops.aten.convolution_backward(
            delta, x, w, [len(b)], *map(list, window), False, [0, 0], module.groups, wanted
        )

    forward = lambda: torch.conv2d(x, w, b, *window, module.groups)  # noqa: E731
    return {
        "forward": forward,
        "backward-data": backward(True, False, False),
        "backward-weights": backward(False, True, False),
    }


PASSES = ("forward", "backward", "both")
PARTS = ("forward", "backward-data", "backward-weights")
LAYOUTS = ("contiguous_format", "channels_last")


@dataclass(frozen=True)
class Compared:
    """Seconds of each pass, round by round: ours by accuracy, and PyTorch's in its layout that is faster for both passes
    together."""

    layout: str
    ours: dict[str, dict[str, list[float]]]
    theirs: dict[str, list[float]]


def compare(case: Case, threads: int, rounds: int = 21, accuracies: Sequence[str] = ("default",)) -> Compared:
    """Ours for each accuracy and both of PyTorch's layouts, interleaved."""
    import torch

    torch.set_num_threads(threads)
    candidates: dict[str, Callable[[], object]] = {}
    for accuracy in accuracies:
        ours = Ours(case, threads, accuracy)
        candidates |= {f"{accuracy} forward": ours.forward, f"{accuracy} backward": ours.backward}
    for layout in LAYOUTS:
        forward, backward = pytorch(case, layout)
        candidates |= {f"{layout} forward": forward, f"{layout} backward": backward}
    seconds = interleaved(candidates, rounds, ahead=1)
    for who in (*accuracies, *LAYOUTS):
        passes = (seconds[f"{who} forward"], seconds[f"{who} backward"])
        seconds[f"{who} both"] = [sum(pair) for pair in zip(*passes, strict=True)]
    layout = min(LAYOUTS, key=lambda name: spread(seconds[f"{name} both"]).median)
    by_pass = {who: {p: seconds[f"{who} {p}"] for p in PASSES} for who in (*accuracies, layout)}
    return Compared(layout, {a: by_pass[a] for a in accuracies}, by_pass[layout])


def compare_parts(case: Case, threads: int, rounds: int = 21) -> dict[str, dict[str, list[float]]]:
    """Our time over PyTorch's in its layout that is faster for that pass, round by round, by accuracy and pass."""
    import torch

    torch.set_num_threads(threads)
    calls: dict[str, dict[str, Callable[[], object]]] = {a: {**Ours(case, threads, a).parts} for a in ACCURACIES}
    calls |= {layout: parts_pytorch(case, layout) for layout in LAYOUTS}
    seconds = interleaved({f"{who} {p}": calls[who][p] for who in calls for p in PARTS}, rounds, ahead=1)
    found: dict[str, dict[str, list[float]]] = {accuracy: {} for accuracy in ACCURACIES}
    for p in PARTS:
        best = min((seconds[f"{layout} {p}"] for layout in LAYOUTS), key=lambda times: spread(times).median)
        for accuracy in ACCURACIES:
            found[accuracy][p] = [a / b for a, b in zip(seconds[f"{accuracy} {p}"], best, strict=True)]
    return found
