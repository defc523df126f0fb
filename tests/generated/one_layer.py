"""One layer by itself: its kernels on arrays of a caller's, in the declared order of their indices."""

import inspect
from collections.abc import Mapping, Sequence

import numpy as np

from generated.definition import Layer, stored, tensor
from generated.plan import computed
from generated.program import Kernel, Program, Stage


class OneLayer:
    """A layer on arrays of fixed sizes: `forward()`, `backward(sensitivities)`; afterwards `array(name)` of any tensor."""

    def __init__(
        self,
        layer: Layer,
        given: Mapping[str, np.ndarray],
        settings: Mapping[str, float] | None = None,
        dtype: str = "float64",
        *,
        grain: int = 0,
        threads: int = 1,
        tile: tuple[int, ...] = (),
        accuracy: str = "direct",
    ):
        self.layer, self.dtype, self.grain, self.threads = layer, np.dtype(dtype), grain, threads
        self.tile, self.accuracy = tile, accuracy
        self.ways: dict[str, str] = {}
        self.settings = {**layer.settings, **(settings or {})}
        fixed = (*layer.states, *layer.random)
        self.declared = dict(map(tensor, (*layer.inputs, *layer.parameters, *layer.outputs, *fixed)))
        self.sizes: dict[str, int] = {}
        for name, array in given.items():
            self.sizes |= dict(zip(self.declared[name], array.shape, strict=True))
        for index, function in layer.sizes.items():
            self.sizes[index] = function(**{n: self._known(n) for n in inspect.signature(function).parameters})
        for index, (of, size) in layer.groups.items():
            self.sizes[index] = -(-self.sizes[of] // size)
        self.order = dict(tensor(stored(slot)) for slot in (*layer.inputs, *layer.outputs))
        self.order |= dict(map(tensor, (*layer.storage, *layer.buffers)))
        self.order |= {f"delta_{name}": axes for name, axes in self.order.items()}
        self.order |= {f"{name}{new}": axes for name, axes in map(tensor, fixed) for new in ("", "_new")}
        self.order |= {f"nabla_{tensor(slot)[0]}": tensor(slot)[1] for slot in layer.storage}
        self.arrays: dict[str, np.ndarray] = {}
        for name, array in given.items():
            self._set(name, array)

    def _known(self, name: str) -> int:
        return int(self.settings[name]) if name in self.settings else self.sizes[name[:1].lower() + name[1:]]

    def _axes(self, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The indices of a tensor as declared and as stored."""
        own = self.declared.get(name.removeprefix("delta_").removeprefix("nabla_"), self.order[name])
        return own, self.order[name]

    def _set(self, name: str, array: np.ndarray) -> None:
        own, order = self._axes(name)
        moved = np.transpose(array, [own.index(i) for i in order])
        self.arrays[name] = np.ascontiguousarray(moved, self.dtype)

    def array(self, name: str) -> np.ndarray:
        """A tensor with its indices as declared."""
        own, order = self._axes(name)
        return np.transpose(self.arrays[name], [order.index(i) for i in own])

    def _stages(self, kernels: Sequence[Kernel]) -> list[Stage]:
        return [stage for kernel in kernels for stage in self._computed(kernel)]

    def _computed(self, kernel: Kernel) -> list[Stage]:
        for name, (axes, dtype) in kernel.arrays.items():
            shape = tuple(1 if i == "one" else self.sizes[i] for i in self.order[name])
            self.arrays.setdefault(name, np.zeros(shape, dtype or self.dtype))
            assert self.arrays[name].ndim == len(axes) or len(axes) == 1
        arrays = {
            n: self.arrays[n].reshape(-1) if len(a) == 1 else self.arrays[n] for n, (a, _) in kernel.arrays.items()
        }
        scalars = {name: np.array([float(value)]) for name, value in self.settings.items() if value is not None}
        calls = computed(
            kernel, arrays, scalars, "", self.accuracy, lambda s: np.full(s, np.nan, self.dtype), self.tile
        )
        self.ways[kernel.name] = calls[-1].way
        return [Stage([call], grain=self.grain, parallel=self.threads > 1) for call in calls]

    def forward(self) -> np.ndarray:
        """Runs the forward kernels; the (last) output."""
        Program(self._stages(self.layer.forward), self.dtype).run()
        return self.array(tensor(self.layer.outputs[-1])[0])

    def backward(self, **sensitivities: np.ndarray) -> np.ndarray:
        """Runs the backward kernels on the sensitivities of the outputs, by name; that of the (first) input."""
        for name, array in sensitivities.items():
            self._set(f"delta_{name}", array)
        Program(self._stages(self.layer.backward), self.dtype).run()
        return self.array(f"delta_{tensor(self.layer.inputs[0])[0]}")
