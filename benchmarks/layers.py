"""Single layers forward and backward: our kernels in the stages of a plan, PyTorch in the faster of its two layouts."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np

from benchmarks.timing import interleaved, spread
from generated.definition import LAYERS, stored, tensor
from generated.graph import Graph, entry_of
from generated.memory import placed, reserved
from generated.plan import stages
from generated.program import Call, Kernel, Program, Stage


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
SLOW_IN_PYTORCH = (
    Case("batch normalisation + leaky", "batch_norm_leaky", BIG, normalised),
    Case("max pooling 2x2", "max_pooling", BIG, lambda torch: torch.nn.MaxPool2d(2)),
)


class Ours:
    """The forward and the backward pass of a case on arrays of its own, in single precision."""

    def __init__(self, case: Case, threads: int):
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
            self.arrays[name] = reserved(shape, "float32")
        for slot in layer.buffers:
            dtype = np.dtype(slot.partition("]: ")[2] or np.float32)
            self.arrays[tensor(slot)[0]] = reserved(one.axes(slot, batch), dtype)

        def call(kernel: Kernel) -> Call:
            return Call(
                kernel, {n: self.arrays[n] for n in kernel.arrays}, {n: one.settings[n] for n in kernel.scalars}
            )

        numba.set_num_threads(threads)
        passes = [stages([call(k) for k in kernels], threads) for kernels in (layer.forward, layer.backward)]
        # As in a plan all arrays lie in one block of memory, here each in a place of its own.
        ends = Stage([call for one in passes for stage in one for call in stage.calls])
        self.everything = everything = placed([ends, *passes[0], *passes[1], ends], list(self.arrays.values()))[1:-1]
        self.forward, self.backward = (
            Program(part, np.float32).run for part in (everything[: len(passes[0])], everything[len(passes[0]) :])
        )
        for stage in everything:
            for one_call in stage.calls:
                self.arrays |= one_call.arrays
        for name in slots:
            self.arrays[name][...] = random.standard_normal(self.arrays[name].shape, dtype=np.float32)


def pytorch(case: Case, layout: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """The forward and the backward pass of the case in PyTorch."""
    import torch

    module = case.make(torch).to(memory_format=getattr(torch, layout))
    x = torch.randn(case.shape).to(memory_format=getattr(torch, layout)).requires_grad_()
    y = module(x)
    delta = torch.randn_like(y)
    inputs = [x, *module.parameters()]
    return lambda: module(x), lambda: torch.autograd.grad(y, inputs, delta, retain_graph=True)


PASSES = ("forward", "backward", "both")
LAYOUTS = ("contiguous_format", "channels_last")


@dataclass(frozen=True)
class Compared:
    """Seconds of each pass, round by round: ours, and PyTorch's in its layout that is faster for both passes together."""

    layout: str
    ours: dict[str, list[float]]
    theirs: dict[str, list[float]]


def compare(case: Case, threads: int, rounds: int = 21) -> Compared:
    """Ours and both of PyTorch's layouts, interleaved."""
    import torch

    torch.set_num_threads(threads)
    ours = Ours(case, threads)
    candidates: dict[str, Callable[[], object]] = {"ours forward": ours.forward, "ours backward": ours.backward}
    for layout in LAYOUTS:
        forward, backward = pytorch(case, layout)
        candidates |= {f"{layout} forward": forward, f"{layout} backward": backward}
    seconds = interleaved(candidates, rounds)
    for who in ("ours", *LAYOUTS):
        passes = (seconds[f"{who} forward"], seconds[f"{who} backward"])
        seconds[f"{who} both"] = [sum(pair) for pair in zip(*passes, strict=True)]
    layout = min(LAYOUTS, key=lambda name: spread(seconds[f"{name} both"]).median)
    ours_by_pass, theirs_by_pass = ({p: seconds[f"{who} {p}"] for p in PASSES} for who in ("ours", layout))
    return Compared(layout, ours_by_pass, theirs_by_pass)
