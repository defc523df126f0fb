"""Networks of layers, costs and update rules by name, trained by the generated kernels."""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numba import get_num_threads

from .definition import COSTS, LAYERS, RULES, tensor
from .plan import Link, Plan, cost_named, layer_named, link, plan_prediction, plan_training, rule_calls
from .program import Program

CALL_SECONDS = 0.1  # of compiled steps between two looks at the clock, at Ctrl-C and at the progress line
FORMAT = 1


class DivergedError(ArithmeticError):
    """The loss is no longer a finite number; the network holds the last good parameters."""


def names() -> dict[str, list[str]]:
    """The layers, costs and update rules that are known by name."""
    return {"layers": sorted(set(LAYERS) - {"objective"}), "costs": sorted(COSTS), "rules": sorted(RULES)}


class Network:
    """A chain of layers, a cost, and their training by gradient descent.

    Parameters
    ----------
    layers : the layers from input to output, each a name (``"relu"``) or a tuple of a name and its sizes, and settings by
        name where it has any (``("dense", 30)``, ``("batch_norm", {"epsilon": 1e-3})``).
    cost : the name of the cost of a sample.
    dtype : ``"float32"`` or ``"float64"``.
    random_state : the seed of all randomness, an integer, or None for a different one each time.
    inputs : the shape of one sample (an integer for a row of features); taken from the data if not given.

    Raises ValueError for a name that is not known (it lists those that are) and for sizes that do not fit.

    Attributes
    ----------
    parameters : one dictionary a layer, from a parameter's name to its array, indexed as in its definition; writing into
        the arrays sets them.
    history_ : lists by name, one value an epoch: ``loss``, ``seconds``, and with validation data ``validation_loss``,
        ``validation_score``.
    classes_ : the labels, where the targets were labels.
    """

    def __init__(
        self,
        layers: Sequence[str | tuple],
        *,
        cost: str = "quadratic",
        dtype: str = "float32",
        random_state: int | None = None,
        inputs: int | tuple[int, ...] | None = None,
    ) -> None:
        if isinstance(layers, str) or not layers:
            raise ValueError("layers must be a list of names or (name, size) tuples, with at least one")
        self.layers = [self._specification(entry, number) for number, entry in enumerate(layers)]
        self.cost = cost_named(cost)
        if np.dtype(dtype) not in (np.dtype("float32"), np.dtype("float64")):
            raise ValueError(f"dtype must be float32 or float64, not {dtype!r}")
        self.dtype = np.dtype(dtype)
        self.random_state = random_state
        self.classes_: np.ndarray | None = None
        self.history_: dict[str, list[float]] = {}
        self._links: list[Link] = []
        self._shape: tuple[int, ...] = ()
        if inputs is not None:
            self._build((inputs,) if isinstance(inputs, int | np.integer) else tuple(inputs))

    @staticmethod
    def _specification(entry: Any, number: int) -> tuple[str, tuple, dict]:
        name, *rest = (entry,) if isinstance(entry, str) else tuple(entry) if isinstance(entry, tuple | list) and entry else (entry,)
        layer_named(name)
        settings = rest.pop() if rest and isinstance(rest[-1], Mapping) else {}
        return name, tuple(rest), dict(settings)

    # Building ---------------------------------------------------------------------------------------------------------

    def _build(self, shape: tuple[int, ...]) -> None:
        links, incoming = [], shape
        for number, (name, sizes, settings) in enumerate(self.layers):
            one = link(layer_named(name), incoming, sizes, settings, f"layer {number + 1}")
            links.append(one)
            incoming = one.shape(one.layer.outputs[0], 1)[1:]
        if len(incoming) != 1:
            raise ValueError(f"the last layer gives samples of shape {incoming}; a cost takes one row of outputs")
        for one in links:
            for slot in one.layer.storage:
                key = tensor(slot)[0]
                one.parameters[key] = np.zeros(one.shape(slot), self.dtype)
                one.gradients[key] = np.zeros_like(one.parameters[key])
        self._links, self._shape, self._outputs = links, shape, incoming[0]
        self._initialise()

    def _initialise(self) -> None:
        """First values: normal with variance one over the number of addends for weights, else what the definition says."""
        self._random = np.random.default_rng(self.random_state)
        self._programs: dict[tuple, tuple[Plan, Program]] = {}
        self._states: dict[tuple, np.ndarray] = {}
        self._steps = np.zeros(1)
        for one in self._links:
            for slot in one.layer.parameters:
                name, axes = tensor(slot)
                if name in one.layer.fan_in:
                    addends = np.prod([one.sizes[i] for i in one.layer.fan_in[name]])
                    values = self._random.standard_normal(one.shape(slot)) / np.sqrt(addends)
                else:
                    values = np.full(one.shape(slot), one.layer.initial.get(name, 0.0))
                self._view(one, name)[...] = values

    def _view(self, one: Link, name: str, gradient: bool = False) -> np.ndarray:
        """A parameter, indexed as in its definition, whatever the order of its storage."""
        stored = dict(map(tensor, one.layer.storage))[name]
        declared = dict(map(tensor, one.layer.parameters))[name]
        array = (one.gradients if gradient else one.parameters)[name]
        return array.transpose([stored.index(i) for i in declared])

    @property
    def parameters(self) -> list[dict[str, np.ndarray]]:
        self._check_built()
        return [{name: self._view(one, name) for name in one.parameters} for one in self._links]

    def _check_built(self) -> None:
        if not self._links:
            raise ValueError("the network has no parameters yet: fit it, or give the shape of a sample as inputs=")

    # Data -------------------------------------------------------------------------------------------------------------

    def _samples(self, X: Any, name: str = "X") -> np.ndarray:
        array = _numbers(X, name, self.dtype)
        if array.ndim < 2:
            raise ValueError(f"{name} must have one row a sample, so two axes or more; its shape is {array.shape}")
        if not len(array):
            raise ValueError(f"{name} has no samples")
        if self._links and array.shape[1:] != self._shape:
            raise ValueError(f"{name} has samples of shape {array.shape[1:]}, the network takes {self._shape}")
        return array

    def _targets(self, y: Any, count: int, name: str = "y") -> np.ndarray:
        """Targets as rows: labels one-hot, numbers as they are."""
        labels = np.asarray(y)
        if len(labels) != count if labels.ndim else True:
            raise ValueError(f"{name} must have one entry a sample, {count}; its shape is {labels.shape}")
        if labels.ndim == 1 and not np.issubdtype(labels.dtype, np.floating):
            return self._one_hot(labels, name)
        array = _numbers(y, name, self.dtype)
        if array.ndim == 1 and self._outputs == 1:
            array = array.reshape(-1, 1)
        if array.shape != (count, self._outputs):
            raise ValueError(f"{name} must have shape {(count, self._outputs)} or be integer labels; its shape is {array.shape}")
        for total in self.cost.totals.values():
            sums = array.sum(axis=1, dtype=np.float64)
            wrong = np.flatnonzero(np.abs(sums - total) > 1e-5)
            if wrong.size:
                raise ValueError(
                    f"{name}: the targets of each sample must add up to {total:g} for {self.cost.name}; "
                    f"those of sample {wrong[0]} add up to {sums[wrong[0]]:g}"
                )
        return array

    def _one_hot(self, labels: np.ndarray, name: str) -> np.ndarray:
        width = max(self._outputs, 2)
        if np.issubdtype(labels.dtype, np.integer) or labels.dtype == bool:
            places = labels.astype(np.int64)
            wrong = np.flatnonzero((places < 0) | (places >= width))
            if wrong.size:
                raise ValueError(
                    f"{name}: label {labels[wrong[0]]} of sample {wrong[0]} is out of range; "
                    f"the network tells the labels 0 to {width - 1} apart"
                )
            self.classes_ = np.arange(width) if self.classes_ is None else self.classes_
        else:
            if self.classes_ is None:
                self.classes_ = np.unique(labels)
                if len(self.classes_) != width:
                    raise ValueError(f"{name} has {len(self.classes_)} different labels, the network has {self._outputs} outputs")
            places = np.clip(np.searchsorted(self.classes_, labels), 0, width - 1)
            wrong = np.flatnonzero(self.classes_[places] != labels)
            if wrong.size:
                raise ValueError(f"{name}: label {labels[wrong[0]]!r} of sample {wrong[0]} is none of {list(self.classes_)}")
        if self._outputs == 1:
            return np.ascontiguousarray(places.reshape(-1, 1), dtype=self.dtype)
        rows = np.zeros((len(labels), width), self.dtype)
        rows[np.arange(len(labels)), places] = 1
        return rows

    # Training ---------------------------------------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        epochs: int = 10,
        batch_size: int = 32,
        learning_rate: float | None = None,
        momentum: float | None = None,
        weight_decay: float = 0.0,
        rule: str | None = None,
        validation_data: tuple[Any, Any] | None = None,
        shuffle: bool = True,
        verbose: bool | None = None,
        **settings: float,
    ) -> "Network":
        """Train from new parameters.

        Parameters
        ----------
        X : samples, (N, ...); y : integer or string labels (N,), or targets (N, outputs).
        rule : the update rule's name; by default ``momentum`` if a momentum is given, else ``gradient_descent``. Its own
            settings go by name (``beta1=0.9``).
        weight_decay : the factor of half the squared weights that the cost is added to; biases have none.
        validation_data : (X, y) that loss and score are measured on after each epoch.
        verbose : a progress line; by default where standard error is a terminal.

        Raises ValueError for data or settings that do not fit, DivergedError if the loss becomes infinite or NaN (the
        parameters of the last good epoch are kept).
        """
        samples = self._samples(X)
        if self._links:
            self._initialise()
        else:
            self._build(samples.shape[1:])
        self.classes_, self.history_ = None, {}
        return self._train(
            samples, y, epochs, batch_size, validation_data, shuffle, verbose, rule,
            {"learning_rate": learning_rate, "momentum": momentum, "weight_decay": weight_decay, **settings},
        )  # fmt: skip

    def partial_fit(
        self,
        X: Any,
        y: Any,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        learning_rate: float | None = None,
        momentum: float | None = None,
        weight_decay: float = 0.0,
        rule: str | None = None,
        shuffle: bool = True,
        **settings: float,
    ) -> "Network":
        """Go on training from the present parameters; the arguments are those of :meth:`fit`."""
        samples = self._samples(X)
        if not self._links:
            self._build(samples.shape[1:])
        return self._train(
            samples, y, epochs, batch_size, None, shuffle, False, rule,
            {"learning_rate": learning_rate, "momentum": momentum, "weight_decay": weight_decay, **settings},
        )  # fmt: skip

    def _train(self, samples, y, epochs, batch_size, validation_data, shuffle, verbose, rule, settings) -> "Network":
        targets = self._targets(y, len(samples))
        for name, value in (("epochs", epochs), ("batch_size", batch_size)):
            if not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"{name} must be a positive integer, not {value!r}")
        batch = min(int(batch_size), len(samples))
        rule, cells = self._rule(rule, settings)
        checks = None
        if validation_data is not None:
            held = self._samples(validation_data[0], "validation X")
            checks = held, self._targets(validation_data[1], len(held), "validation y"), validation_data[1]
        parts = [(batch, 0, len(samples) // batch)]
        if len(samples) % batch:
            parts.append((len(samples) % batch, 0, 1))
        programs = [self._program(("train", rule.name, size), rule, cells) for size, _, _ in parts]
        arrays = [p for one in self._links for p in (*one.parameters.values(),)] + list(self._states.values())
        good = [a.copy() for a in arrays]
        shown = sys.stderr.isatty() if verbose is None else verbose
        line = _ProgressLine(epochs, shown)
        order = np.arange(len(samples))
        for epoch in range(epochs):
            began = time.perf_counter()
            if shuffle:
                order = self._random.permutation(len(samples))
            total, begin = 0.0, 0
            for (plan, program), (size, _, steps) in zip(programs, parts, strict=True):
                rows = order[begin : begin + size * steps]
                losses = np.zeros(steps)
                for done in self._run(program, [samples, targets], rows, steps, losses):
                    line.show(epoch, (begin + done * size) / len(samples), losses[:done])
                if not np.isfinite(losses).all():
                    step = int(np.flatnonzero(~np.isfinite(losses))[0])
                    self._diverged(arrays, good, f"{losses[step]} at step {step + 1} of epoch {epoch + 1}")
                total += losses.sum() * size
                begin += size * steps
            if not all(np.isfinite(a).all() for a in arrays):
                self._diverged(arrays, good, f"followed by parameters that are not finite, in epoch {epoch + 1}")
            for kept, a in zip(good, arrays, strict=True):
                kept[...] = a
            self._record("loss", total / len(samples))
            self._record("seconds", time.perf_counter() - began)
            if checks:
                outputs = self._forward(checks[0])
                self._record("validation_loss", self._loss(checks[0], checks[1]))
                self._record("validation_score", self._score(outputs, checks[1]))
            line.epoch(epoch, self.history_)
        line.end()
        return self

    def _run(self, program: Program, data: list, order: np.ndarray, steps: int, losses: np.ndarray) -> Iterator[int]:
        """All steps, in calls of about CALL_SECONDS; gives the number of steps done after each."""
        done, count = 0, 1
        while done < steps:
            began = time.perf_counter()
            last = min(steps, done + count)
            reached = program.run_steps(data, order, done, last, losses)
            if reached < last:
                losses[reached + 1 :] = 0
                yield steps
                return
            took = time.perf_counter() - began
            count = max(1, min(4 * count, int(count * CALL_SECONDS / max(took, 1e-6))))
            done = last
            yield done

    def _diverged(self, arrays: list[np.ndarray], good: list[np.ndarray], what: str) -> None:
        for a, kept in zip(arrays, good, strict=True):
            a[...] = kept
        raise DivergedError(f"the loss became {what}; the last good parameters are kept. A smaller learning_rate may help")

    def _record(self, name: str, value: float) -> None:
        self.history_.setdefault(name, []).append(float(value))

    def _rule(self, name: str | None, settings: dict[str, float | None]):
        given = {k: v for k, v in settings.items() if v is not None}
        name = name or ("momentum" if given.get("momentum") else "gradient_descent")
        if name not in RULES:
            raise ValueError(f"there is no update rule named {name!r}; there are {', '.join(sorted(RULES))}")
        rule = RULES[name]
        if not given.get("momentum", 1):
            given.pop("momentum")
        if not given.get("weight_decay", 1) and "weight_decay" not in rule.settings:
            given.pop("weight_decay")
        unknown = sorted(set(given) - set(rule.settings))
        if unknown:
            raise ValueError(f"{name} has no setting {', '.join(unknown)}; it has {', '.join(sorted(rule.settings))}")
        cells = {}
        for key, default in rule.settings.items():
            value = given.get(key, default)
            if key == "step":
                cells[key] = self._steps
                continue
            if value is None:
                raise ValueError(f"{name} needs {key}=")
            if not np.isfinite(value):
                raise ValueError(f"{key} must be a finite number, not {value!r}")
            cells[key] = np.array([float(value)])
        return rule, cells

    # Programs ---------------------------------------------------------------------------------------------------------

    def _program(self, key: tuple, rule=None, cells=None) -> tuple[Plan, Program]:
        """The compiled program of a pass over a mini-batch of one size; kept, as its arrays are."""
        what, _, batch = key
        threads = get_num_threads()
        key = (*key, threads)
        if key in self._programs and rule is not None:
            for name, cell in self._programs[key][0].cells.items():  # the new settings go to the cells it reads
                cell[...] = cells[name]
            return self._programs[key]
        if key not in self._programs:
            if what == "predict":
                plan = plan_prediction(self._links, batch, self._shape, self.dtype, threads)
                program = Program(plan.stages, self.dtype, gathered=[plan.inputs])
            else:
                updates = rule_calls(rule, self._links, cells, self._states, self.dtype) if rule else []
                plan = plan_training(
                    self._links, self.cost, batch, self._shape, self.dtype, threads, updates, backward=what != "loss"
                )
                program = Program(
                    plan.stages, self.dtype, gathered=[plan.inputs, plan.targets], loss=plan.loss, loss_stage=plan.loss_stage
                )
                plan.cells = cells or {}
                if what == "train":
                    program.steps_done = self._steps
            self._programs[key] = plan, program
        return self._programs[key]

    def _forward(self, samples: np.ndarray) -> np.ndarray:
        outputs = np.empty((len(samples), self._outputs), self.dtype)
        for begin in range(0, len(samples), 256):
            rows = samples[begin : begin + 256]
            plan, program = self._program(("predict", None, len(rows)))
            plan.inputs[...] = rows
            program.run()
            outputs[begin : begin + 256] = plan.outputs
        return outputs

    def _loss(self, samples: np.ndarray, targets: np.ndarray) -> float:
        total = 0.0
        for begin in range(0, len(samples), 256):
            rows = samples[begin : begin + 256]
            plan, program = self._program(("loss", None, len(rows)))
            plan.inputs[...], plan.targets[...] = rows, targets[begin : begin + 256]
            program.run()
            total += float(plan.loss[0]) * len(rows)
        return total / len(samples)

    # Use --------------------------------------------------------------------------------------------------------------

    def gradients(self, X: Any, y: Any) -> list[dict[str, np.ndarray]]:
        """The gradient of the mean cost of these samples by every parameter, in the form of :attr:`parameters`."""
        samples = self._samples(X)
        if not self._links:
            self._build(samples.shape[1:])
        plan, program = self._program(("gradient", None, len(samples)))
        plan.inputs[...], plan.targets[...] = samples, self._targets(y, len(samples))
        program.run()
        return [{name: self._view(one, name, True).copy() for name in one.gradients} for one in self._links]

    def loss(self, X: Any, y: Any) -> float:
        """The mean cost of these samples."""
        self._check_built()
        samples = self._samples(X)
        return self._loss(samples, self._targets(y, len(samples)))

    def outputs(self, X: Any) -> np.ndarray:
        """What the last layer gives, (N, outputs)."""
        self._check_built()
        return self._forward(self._samples(X))

    def predict(self, X: Any) -> np.ndarray:
        """The label of each sample where the network was trained on labels, else its outputs."""
        outputs = self.outputs(X)
        if self.classes_ is None:
            return outputs
        return self.classes_[self._places(outputs)]

    def _places(self, outputs: np.ndarray) -> np.ndarray:
        return (outputs[:, 0] > 0.5).astype(int) if self._outputs == 1 else outputs.argmax(axis=1)

    def predict_proba(self, X: Any) -> np.ndarray:
        """The outputs as probabilities of the classes.

        Raises ValueError if the network was not trained on labels, or if its last layer gives other than values in 0 to 1.
        """
        if self.classes_ is None:
            raise ValueError("predict_proba needs a network that was trained on labels")
        outputs = self.outputs(X)
        if outputs.size and not (outputs.min() >= 0 and outputs.max() <= 1):
            raise ValueError(f"the last layer, {self.layers[-1][0]!r}, does not give probabilities: values outside 0 to 1")
        return np.hstack([1 - outputs, outputs]) if self._outputs == 1 else outputs

    def score(self, X: Any, y: Any) -> float:
        """Accuracy for labels; the coefficient of determination R^2 for other targets."""
        samples = self._samples(X)
        return self._score(self.outputs(X), self._targets(y, len(samples)))

    def _score(self, outputs: np.ndarray, targets: np.ndarray) -> float:
        if self.classes_ is not None:
            return float(np.mean(self._places(outputs) == self._places(targets)))
        rest = np.square(targets - outputs, dtype=np.float64).sum(axis=0)
        spread = np.square(targets - targets.mean(axis=0), dtype=np.float64).sum(axis=0)
        return float(np.mean(1 - rest / np.where(spread > 0, spread, 1)))

    # Files ------------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike) -> None:
        """Write the network to an ``.npz`` file, whole or not at all."""
        self._check_built()
        about = {
            "format": FORMAT, "layers": self.layers, "cost": self.cost.name, "dtype": self.dtype.name,
            "random_state": self.random_state, "inputs": self._shape, "history": self.history_,
        }  # fmt: skip
        arrays = {f"{n}.{name}": a for n, layer in enumerate(self.parameters) for name, a in layer.items()}
        if self.classes_ is not None:
            arrays["classes"] = self.classes_
        path = Path(path)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, about=np.array(json.dumps(about)), **arrays)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise


def load(path: str | os.PathLike) -> Network:
    """A network that :meth:`Network.save` wrote. Raises ValueError if the file is not one, or is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        about = json.loads(str(arrays.pop("about")))
        layers = [(name, *sizes, settings) for name, sizes, settings in about["layers"]]
        network = Network(
            layers, cost=about["cost"], dtype=about["dtype"], random_state=about["random_state"], inputs=tuple(about["inputs"])
        )
        network.history_ = about["history"]
        network.classes_ = arrays.pop("classes", None)
        for number, layer in enumerate(network.parameters):
            for name, parameter in layer.items():
                stored = arrays.pop(f"{number}.{name}")
                if stored.shape != parameter.shape:
                    raise ValueError(f"{name} of layer {number + 1} has shape {stored.shape}, not {parameter.shape}")
                parameter[...] = stored
    except FileNotFoundError:
        raise
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a network that Network.save wrote: {error}") from error
    return network


def _numbers(values: Any, name: str, dtype: np.dtype) -> np.ndarray:
    """A C-contiguous array of finite numbers."""
    try:
        array = np.ascontiguousarray(values, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers: {error}") from error
    if not np.isfinite(array).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{name} has the value {array[place]} at {list(place)}; all values must be finite")
    return array


class _ProgressLine:
    """One line on standard error that is written over: epoch, loss, score, time left."""

    def __init__(self, epochs: int, shown: bool) -> None:
        self.epochs, self.shown, self.began, self.last = epochs, shown, time.perf_counter(), 0.0

    def show(self, epoch: int, share: float, losses: np.ndarray) -> None:
        now = time.perf_counter()
        if not self.shown or now - self.last < 0.2 or not losses.size:
            return
        self.last = now
        done = (epoch + share) / self.epochs
        left = (now - self.began) * (1 - done) / max(done, 1e-9)
        self._write(f"epoch {epoch + 1}/{self.epochs}  {share:4.0%}  loss {losses[-100:].mean():.4f}  {left:.0f} s left")

    def epoch(self, epoch: int, history: dict[str, list[float]]) -> None:
        if not self.shown or (time.perf_counter() - self.last < 0.2 and epoch + 1 < self.epochs):
            return
        self.last = time.perf_counter()
        left = (self.last - self.began) * (self.epochs - epoch - 1) / (epoch + 1)
        text = f"epoch {epoch + 1}/{self.epochs}  loss {history['loss'][-1]:.4f}"
        if "validation_score" in history:
            text += f"  validation {history['validation_score'][-1]:.4f}"
        self._write(f"{text}  {left:.0f} s left")

    def _write(self, text: str) -> None:
        sys.stderr.write(f"\r{text:<78}")
        sys.stderr.flush()

    def end(self) -> None:
        if self.shown:
            sys.stderr.write("\n")
