"""Networks of layers, costs and update rules by name, trained by the generated kernels."""

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
from numba import get_num_threads

from .choice import ACCURACIES, DEFAULT
from .data import Targets, as_samples, as_targets
from .definition import COSTS, HEADS, RULES, Rule, tensor
from .files import written_whole
from .graph import Graph, Link, check_heads, entry_of, layer_names
from .heads import ROOM, as_truths, with_room
from .plan import Plan, Update, cost_named, paying, plan_prediction, plan_training, rule_calls, rule_named, stages
from .program import Program, zeros
from .progress import ProgressLine
from .subdivisions import Divided, part_sizes

CALL_SECONDS = 0.1  # of compiled steps between two looks at the clock, at Ctrl-C and at the progress line
CHUNK = 256  # samples that go forward together, if they do not have too many units:
MOST = 1 << 26  # of all layers, for all of them
PROGRAMS = 16  # that are kept: one for each kind of pass and size of batch
FORMAT = 2  # of the files


class DivergedError(ArithmeticError):
    """The loss is no longer a finite number; the network holds the last good parameters."""


def names() -> dict[str, list[str]]:
    """The layers, heads of detectors, costs and update rules that are known by name."""
    return {"layers": layer_names(), "heads": sorted(HEADS), "costs": sorted(COSTS), "rules": sorted(RULES)}


class Network:
    """An acyclic graph of layers, a cost, and their training by gradient descent.

    With a head or several among its layers, ``("yolo", classes, {"anchors": [(width, height), ...], "mask": [...]})``, it is
    a detector: the heads bring their own cost, which takes truths, and give predictions.

    Parameters
    ----------
    layers : the layers from input to output, each a name (``"relu"``) or a tuple of a name, its sizes
        (``("dense", 30)``) and, where it has any, its settings by name (``("batch_norm", {"epsilon": 1e-3})``). Each
        reads the layer before it. With the setting ``"layers"`` it reads those instead, with ``"from"`` those besides:
        by their numbers from 0, or negative ones that count back from the layer itself (``("shortcut", {"from": -3})``).
    cost : the name of the cost of a sample, ``"quadratic"`` if none is given; a detector takes none, it has that of its heads.
    dtype : ``"float32"`` or ``"float64"``.
    random_state : the seed of all randomness, an integer, or None for a different one each time.
    inputs : the shape of one sample, an integer for a row of features, (channels, rows, columns) for planes; taken from
        the data if not given.
    accuracy : how contractions may be computed, by shapes alone: ``"default"``, with rounding errors at most twice those of the
        sum as it stands; ``"fast"``, with fewer multiplications and errors up to six times as large; ``"direct"``, the sum
        as it stands. It may be set later on: what is computed from then on is computed so.

    Raises ValueError for a name that is not known (it lists those that are) and for sizes that do not fit.

    Attributes
    ----------
    parameters : one dictionary a layer, from a parameter's name to its array, indexed as in its definition; what is
        written into the arrays counts.
    states : the same of what layers keep from step to step (running statistics).
    history_ : lists by name, one value an epoch: ``loss``, ``seconds``, and with validation data ``validation_loss``,
        ``validation_score``.
    classes_ : the labels, where the targets were labels.
    """

    def __init__(
        self,
        layers: Sequence[str | tuple],
        *,
        cost: str | None = None,
        dtype: str = "float32",
        random_state: int | None = None,
        inputs: int | tuple[int, ...] | None = None,
        accuracy: str = DEFAULT,
    ) -> None:
        if not isinstance(layers, list | tuple) or not layers:
            raise ValueError('layers must be a list of names and (name, size) tuples, as [("dense", 10), "softmax"]')
        self._entries = [entry_of(given, index) for index, given in enumerate(layers)]
        self.layers = [(entry.name, entry.sizes, dict(entry.settings)) for entry in self._entries]
        check_heads(self._entries)
        if self.is_detector and cost is not None:
            raise ValueError(f"a detector has the cost of its heads; cost={cost!r} is one too many, leave it out")
        self.cost = None if self.is_detector else cost_named(cost or "quadratic")
        if dtype not in ("float32", "float64", np.float32, np.float64):
            raise ValueError(f"dtype must be float32 or float64, not {dtype!r}")
        self.dtype = np.dtype(dtype)
        self.random_state = None if random_state is None else _integer("random_state", random_state, 0)
        self.inputs = None if inputs is None else _shape(inputs)
        self.accuracy = accuracy
        self.classes_: np.ndarray | None = None
        self.history_: dict[str, list[float]] = {}
        self._graph: Graph | None = None
        self._shape: tuple[int, ...] = ()  # of a sample, once the network is built
        self._room = 0  # for truths of a sample
        if self.inputs is not None:
            self._begin(Graph(self._entries, self.inputs), self.inputs)

    def __repr__(self) -> str:
        layers = [
            (name, *sizes, *([settings] if settings else [])) if sizes or settings else name
            for name, sizes, settings in self.layers
        ]
        about = ({} if self.cost is None else {"cost": self.cost.name}) | {"dtype": self.dtype.name}
        about |= {key: getattr(self, key) for key in ("random_state", "inputs") if getattr(self, key) is not None}
        about |= {"accuracy": self.accuracy} if self.accuracy != DEFAULT else {}
        return f"Network({layers}, {', '.join(f'{key}={value!r}' for key, value in about.items())})"

    @property
    def accuracy(self) -> str:
        return self._accuracy

    @accuracy.setter
    def accuracy(self, asked: str) -> None:
        if not isinstance(asked, str) or asked not in ACCURACIES:
            raise ValueError(
                f"accuracy must be {', '.join(list(ACCURACIES)[:-1])} or {list(ACCURACIES)[-1]}, not {asked!r}"
            )
        self._accuracy = asked

    @property
    def is_detector(self) -> bool:
        """Whether heads end it, which find objects in images."""
        return any(entry.is_head for entry in self._entries)

    def __getstate__(self) -> dict:
        """For copies and pickles: all but the programs, which hold addresses."""
        return {**self.__dict__, "_programs": {}}

    # Building ---------------------------------------------------------------------------------------------------------

    def _begin(self, graph: Graph, shape: tuple[int, ...]) -> None:
        """First values: normal for weights, with variance one over their addends; else as the definition says."""
        self._random = np.random.default_rng(self.random_state)
        for one in filter(None, graph.layers):
            for slot in one.layer.storage:
                name = tensor(slot)[0]
                if name == "b" and not one.bias:
                    one.frozen[name] = zeros(one.axes(slot), self.dtype)
                    continue
                one.parameters[name] = zeros(one.axes(slot), self.dtype)
                one.gradients[name] = zeros(one.axes(slot), self.dtype)
            for slot in (slot for slot in one.layer.parameters if tensor(slot)[0] in one.parameters):
                name = tensor(slot)[0]
                if name in one.layer.fan_in:
                    addends = np.prod([one.sizes[i] for i in one.layer.fan_in[name]])
                    values = self._random.standard_normal(one.axes(slot)) / np.sqrt(addends)
                else:
                    values = np.full(one.axes(slot), one.layer.initial.get(name, 0.0))
                _view(one, one.parameters, name)[...] = values
            for slot in one.layer.states:
                name = tensor(slot)[0]
                one.states[name] = np.full(one.axes(slot), one.layer.initial.get(name, 0.0), self.dtype)
        self._graph, self._shape = graph, shape
        self._programs: dict[tuple, tuple[Plan, Program]] = {}
        self._states: dict[str, dict[tuple, np.ndarray]] = {}  # of each update rule
        self._cells: dict[str, dict[str, np.ndarray]] = {}  # its settings, where its kernel reads them

    def _built(self) -> Graph:
        if self._graph is None:
            raise ValueError("the network has no parameters yet: fit it, or give the shape of a sample as inputs=")
        return self._graph

    @property
    def parameters(self) -> list[dict[str, np.ndarray]]:
        return [
            {name: _view(one, one.parameters, name) for name in one.parameters} if one else {}
            for one in self._built().layers
        ]

    @property
    def states(self) -> list[dict[str, np.ndarray]]:
        return [dict(one.states) if one else {} for one in self._built().layers]

    def _samples(self, X: Any) -> np.ndarray:
        return as_samples(X, self.dtype, self._shape)

    def _targets(
        self, y: Any, count: int, graph: Graph | None = None, classes: np.ndarray | None = None, name: str = "y"
    ) -> Targets:
        """Targets of so many samples, for this graph and these labels known before, by default the network's own."""
        if self.cost is not None:
            classes = self.classes_ if graph is None else classes
            return as_targets(y, count, (graph or self._built()).output.shape, self.cost, self.dtype, classes, name)
        classes_of_heads = next(entry.sizes[0] for entry in self._entries if entry.is_head)
        rows = as_truths(y, count, classes_of_heads, self.dtype, name, self._room)
        self._room = rows.shape[1]
        return Targets(rows, None)

    # Training ---------------------------------------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        epochs: int = 10,
        batch_size: int = 32,
        subdivisions: int = 1,
        learning_rate: float | Sequence[float] | np.ndarray | None = None,
        momentum: float | None = None,
        weight_decay: float | None = None,
        rule: str | None = None,
        validation_data: tuple[Any, Any] | None = None,
        shuffle: bool = True,
        verbose: bool | ProgressLine | None = None,
        **settings: float,
    ) -> "Network":
        """Train from new parameters.

        Parameters
        ----------
        X : samples, (N, ...); y : integer or string labels (N,), or targets (N, outputs); of a detector truths, for each
            sample an array (T, 5) of rows class, x, y, w, h (centre and size in shares of the input, 0 to 1), or all of
            them as one array (N, T, 5), in which rows of class -1 are none.
        rule : the update rule's name; by default ``momentum`` if a momentum is given, else ``gradient_descent``. Its
            own settings go by name (``beta1=0.9``); those not given are as its definition says.
        learning_rate : a number, or a sequence of them: one for each step of this call, ``ceil(N / batch_size)`` an epoch.
        subdivisions : in how many parts a mini-batch goes forward and backward, one after the other, before its update: less
            memory, the same mean gradient. Layers that look at the whole mini-batch, as normalisation does, see a part.
        weight_decay : the factor of half the squared weights that the cost is added to; biases have none.
        validation_data : (X, y) that loss and score (of a detector the loss) are measured on after each epoch.
        verbose : a progress line; by default where standard error is a terminal. One of the caller's own may be given.

        Raises ValueError for data or settings that do not fit; then the network is as it was. DivergedError if the loss
        becomes infinite or NaN; then, as after Ctrl-C, it is as it was after the last whole epoch.
        """
        given = {"learning_rate": learning_rate, "momentum": momentum, "weight_decay": weight_decay, **settings}
        return self._train(X, y, True, epochs, batch_size, subdivisions, rule, validation_data, shuffle, verbose, given)

    def partial_fit(
        self,
        X: Any,
        y: Any,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        subdivisions: int = 1,
        learning_rate: float | Sequence[float] | np.ndarray | None = None,
        momentum: float | None = None,
        weight_decay: float | None = None,
        rule: str | None = None,
        validation_data: tuple[Any, Any] | None = None,
        shuffle: bool = True,
        verbose: bool | ProgressLine | None = None,
        **settings: float,
    ) -> "Network":
        """Go on training from the present parameters; the arguments and errors are those of :meth:`fit`."""
        given = {"learning_rate": learning_rate, "momentum": momentum, "weight_decay": weight_decay, **settings}
        return self._train(
            X, y, False, epochs, batch_size, subdivisions, rule, validation_data, shuffle, verbose, given
        )

    def _train(
        self, X, y, fresh, epochs, batch_size, subdivisions, rule, validation_data, shuffle, verbose, settings
    ) -> "Network":  # fmt: skip
        samples = as_samples(X, self.dtype, self.inputs if fresh else self._shape)
        graph = self._graph if self._graph and not fresh else Graph(self._entries, samples.shape[1:])
        known = None if fresh else self.classes_
        targets = self._targets(y, len(samples), graph, known)
        epochs, batch_size = _integer("epochs", epochs, 1), _integer("batch_size", batch_size, 1)
        subdivisions = _integer("subdivisions", subdivisions, 1)
        steps = -(-len(samples) // batch_size)  # of an epoch
        rates, settings = _rates(settings, epochs * steps)
        rule, settings = _rule(rule, settings)
        if validation_data is not None:
            if not isinstance(validation_data, tuple | list) or len(validation_data) != 2:
                raise ValueError("validation_data must be a pair (X, y)")
            held = as_samples(validation_data[0], self.dtype, samples.shape[1:], "validation X")
            held_targets = self._targets(validation_data[1], len(held), graph, targets.classes, "validation y")

        if self.is_detector:  # for the truths of both
            targets = Targets(with_room(targets.rows, self._room), None)

        # What was given is right: from here on the network changes.
        if graph is not self._graph:
            self._begin(graph, samples.shape[1:])
        if fresh:
            self.classes_, self.history_ = None, {}
        self.classes_ = self.classes_ if targets.classes is None else targets.classes
        parts = self._parts(rule, settings, len(samples), min(batch_size, len(samples)), subdivisions)
        changing = [a for one in filter(None, graph.layers) for a in (*one.parameters.values(), *one.states.values())]
        changing += [*self._states[rule.name].values(), *self._cells[rule.name].values()]
        order = np.arange(len(samples))
        shown = sys.stderr.isatty() if verbose is None else bool(verbose)
        own = nullcontext(verbose) if isinstance(verbose, ProgressLine) else ProgressLine(epochs, shown, len(samples))
        with own as line:
            for epoch in range(epochs):
                began = time.perf_counter()
                with _kept_on_error(changing, self._random):
                    if shuffle:
                        order = self._random.permutation(len(samples))
                    now = None if rates is None else rates[epoch * steps :][:steps]
                    values = {"loss": self._epoch(parts, [samples, targets.rows], order, epoch, line, rule.name, now)}
                    if not all(np.isfinite(a).all() for a in changing):
                        raise _diverged(f"the parameters became infinite or NaN in epoch {line.done + epoch + 1}")
                    values["seconds"] = time.perf_counter() - began
                    if validation_data is not None:
                        values["validation_loss"] = self._loss(held, held_targets.rows)
                        if not self.is_detector:
                            values["validation_score"] = self._score(self._forward(held), held_targets)
                for name, value in values.items():
                    self.history_.setdefault(name, []).append(value)
                line.epoch(epoch, self.history_)
        return self

    def _parts(
        self, rule: Rule, settings: dict[str, float], count: int, batch: int, subdivisions: int
    ) -> list[tuple[Plan, Program | Divided, int, int]]:
        """An epoch: the program of the full mini-batches, their size and number; and those of the rest, if any."""
        cells = self._cells.setdefault(rule.name, {})
        for name in (*rule.settings, "step"):  # the step's number, which what is drawn in it depends on
            cells.setdefault(name, np.zeros(1))
        for name, value in settings.items():
            cells[name][0] = value
        updates = rule_calls(rule, self._built().layers, cells, self._states.setdefault(rule.name, {}), self.dtype)
        parts: list[tuple[Plan, Program | Divided, int, int]] = []
        for size, steps in ((batch, count // batch), (count % batch, 1)):
            if size and subdivisions == 1:
                parts.append((*self._program("train", size, rule.name, updates, cells["step"]), size, steps))
            elif size:
                divided = self._divided(part_sizes(size, subdivisions), updates, cells["step"])
                parts.append((divided.parts[0][0], divided, size, steps))
        return parts

    def _divided(self, sizes: list[int], updates: Sequence[Update], clock: np.ndarray) -> Divided:
        """What takes the place of the program of a mini-batch that is cut into parts of these sizes."""
        gradients = [array for one in filter(None, self._built().layers) for array in one.gradients.values()]
        update = Program(stages(updates, paying(updates, get_num_threads())), self.dtype)
        return Divided([self._program("part training", size) for size in sizes], gradients, update, clock)

    def _epoch(
        self,
        parts: list,
        data: list[np.ndarray],
        order: np.ndarray,
        epoch: int,
        line: ProgressLine,
        rule: str,
        rates: np.ndarray | None,
    ) -> float:
        """All mini-batches once; the mean loss. Raises DivergedError at a step whose loss is not finite."""
        rate = self._cells[rule].get("learning_rate")
        total, begin = 0.0, 0
        for plan, program, size, steps in parts:
            if plan.random:
                plan.seed[0] = self._random.integers(1 << 53)
            losses = np.zeros(steps)
            now, rates = (None, None) if rates is None else (rates[:steps], rates[steps:])
            for done in _run(program, data, order[begin : begin + size * steps], losses, now, rate):
                line.steps(epoch, (begin + done * size) / len(order), losses[:done])
            if not np.isfinite(losses).all():
                step = int(np.argmin(np.isfinite(losses)))
                where = f"sample {begin + step * size} of epoch {line.done + epoch + 1}"
                raise _diverged(f"the loss became {losses[step]} at {where}")
            total += losses.sum() * size
            begin += size * steps
        return total / len(order)

    # Programs ---------------------------------------------------------------------------------------------------------

    def _program(
        self, what: str, size: int, rule: str = "", updates: Sequence[Update] = (), clock: np.ndarray | None = None
    ) -> tuple[Plan, Program]:
        """The compiled program of a pass over a mini-batch of one size; kept, as its arrays are.

        what: "predict" is forward alone, "loss" has the cost, "gradients" goes backward, all as outside of training unless
        "training" follows; "train" updates by a rule, whose number of the step ``clock`` keeps; "part training" leaves that
        to another program. Programs of a detector with less room for truths than there is by now are dropped.
        """
        dtype, threads = self.dtype, get_num_threads()
        room = 0 if what.startswith("predict") else self._room
        key = (what, rule, size, threads, self.accuracy, room)
        self._programs = {k: program for k, program in self._programs.items() if k[-1] in (0, self._room)}
        if key not in self._programs:
            plan = self._planned(what, size, threads, room, updates, clock)
            gathered = [plan.inputs] if plan.targets is None else [plan.inputs, plan.targets]
            program = Program(plan.stages, dtype, gathered=gathered, loss=plan.loss, loss_stage=plan.loss_stage)
            program.steps_done = plan.clock
            while len(self._programs) >= PROGRAMS:
                del self._programs[next(iter(self._programs))]
            self._programs[key] = plan, program
        return self._programs[key]

    def _planned(
        self,
        what: str,
        size: int,
        threads: int,
        room: int,
        updates: Sequence[Update] = (),
        clock: np.ndarray | None = None,
    ) -> Plan:
        """The plan of a pass: see :meth:`_program`."""
        graph, dtype, accuracy = self._built(), self.dtype, self.accuracy
        what, training = what.split()[0], what == "train" or what.endswith("training")
        if what == "predict":
            return plan_prediction(graph, size, dtype, threads, training=training, accuracy=accuracy)
        return plan_training(
            graph, self.cost, size, dtype, threads, list(updates) if what in ("train", "part") else None,
            backward=what != "loss", training=training, clock=clock, truths=room, accuracy=accuracy,
        )  # fmt: skip

    def plan(
        self,
        batch_size: int,
        *,
        training: bool = True,
        subdivisions: int = 1,
        rule: str | None = None,
        threads: int | None = None,
    ) -> Plan:
        """What is done with a mini-batch of so many samples, stage by stage, and how its arrays lie in memory.

        training: the step that :meth:`fit` repeats, or what :meth:`predict` does; of a step with ``subdivisions`` that of
        its largest part, without the update. rule: by default the one that the network was trained with last. threads: by
        default those that there are. Nothing is compiled or computed. Raises ValueError for what does not fit.
        """
        size, parts = _integer("batch_size", batch_size, 1), _integer("subdivisions", subdivisions, 1)
        count = get_num_threads() if threads is None else _integer("threads", threads, 1)
        if not training:
            return self._planned("predict", size, count, 0)
        if parts > 1:
            return self._planned("part training", part_sizes(size, parts)[0], count, self._room or ROOM)
        known = rule_named(rule or next(reversed(self._cells), "gradient_descent"))
        cells = {name: np.zeros(1) for name in (*known.settings, "step")}
        updates = rule_calls(known, self._built().layers, cells, {}, self.dtype)
        return self._planned("train", size, count, self._room or ROOM, updates, cells["step"])

    def _pass(self, what: str, samples: np.ndarray, targets: np.ndarray | None = None) -> Plan:
        """All of the samples at once; the results are in the plan's arrays. What is drawn is the same every time."""
        plan, program = self._program(what, len(samples))
        plan.inputs[...] = samples
        if plan.targets is not None:
            plan.targets[...] = targets
        plan.clock[0] = 0
        program.run()
        return plan

    def _chunks(self, count: int) -> list[slice]:
        """The samples in parts that go forward together: fewer where a sample has many units."""
        units = sum(np.prod(value.shape, dtype=int) for value in self._built().values)
        size = max(1, min(CHUNK, int(MOST // units)))
        return [slice(begin, begin + size) for begin in range(0, count, size)]

    def _forward(self, samples: np.ndarray) -> np.ndarray:
        chunks = self._chunks(len(samples))
        if self.is_detector:
            return np.concatenate([_predictions(self._pass("predict", samples[rows])) for rows in chunks])
        outputs = np.empty((len(samples), *self._built().output.shape), self.dtype)
        for rows in chunks:
            outputs[rows] = self._pass("predict", samples[rows]).outputs
        return outputs

    def _loss(self, samples: np.ndarray, targets: np.ndarray) -> float:
        total = 0.0
        for rows in self._chunks(len(samples)):
            total += self._pass("loss", samples[rows], targets[rows]).loss.item() * len(samples[rows])  # type: ignore[union-attr]
        return total / len(samples)

    # Use --------------------------------------------------------------------------------------------------------------

    def gradients(self, X: Any, y: Any, *, training: bool = True) -> list[dict[str, np.ndarray]]:
        """The gradient of the mean cost of these samples by every parameter, in the form of :attr:`parameters`.

        training: whether layers do what they do in training (statistics of these samples, units dropped, the same ones
        every time) or in use. States stay as they are.
        """
        samples = self._samples(X)
        if self._graph is None:
            self._begin(Graph(self._entries, samples.shape[1:]), samples.shape[1:])
        what = "gradients training" if training else "gradients"
        self._pass(what, samples, self._targets(y, len(samples)).rows)
        return [
            {name: _view(one, one.gradients, name).copy() for name in one.gradients} if one else {}
            for one in self._built().layers
        ]

    def loss(self, X: Any, y: Any, *, training: bool = False) -> float:
        """The mean cost of these samples; ``training`` as in :meth:`gradients`."""
        self._built()
        samples = self._samples(X)
        targets = self._targets(y, len(samples)).rows
        if training:
            return self._pass("loss training", samples, targets).loss.item()  # type: ignore[union-attr]
        return self._loss(samples, targets)

    def outputs(self, X: Any, *, training: bool = False) -> np.ndarray:
        """What the last layer gives, (N, outputs) or (N, channels, rows, columns); ``training`` as in :meth:`gradients`.

        Of a detector its :meth:`predictions`.
        """
        self._built()
        samples = self._samples(X)
        if not training:
            return self._forward(samples)
        plan = self._pass("predict training", samples)
        return _predictions(plan) if self.is_detector else plan.outputs.copy()

    def predictions(self, X: Any) -> np.ndarray:
        """What a detector finds, (N, P, 5 + K): of each prediction x, y, w, h, objectness and the probability of each class.

        Boxes are centre and size in shares of the input; classes are not multiplied by objectness. Predictions come head
        by head, within one row by row, cell by cell, the anchors of its mask in each. Raises ValueError for other networks.
        """
        if not self.is_detector:
            raise ValueError("predictions are of a detector, and this network has no head; use outputs or predict")
        return self.outputs(X)

    def predict(self, X: Any) -> np.ndarray:
        """The label of each sample where the network was trained on labels, else its outputs."""
        outputs = self.outputs(X)
        return outputs if self.classes_ is None else self.classes_[_places(outputs)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """The outputs as probabilities of the classes.

        Raises ValueError if the network was not trained on labels, or if its last layer gives values outside 0 to 1.
        """
        outputs = self.outputs(X)
        if self.classes_ is None:
            raise ValueError("predict_proba needs a network that was trained on labels")
        if not (outputs.min() >= 0 and outputs.max() <= 1):
            raise ValueError(f"the last layer, {self.layers[-1][0]!r}, gives values outside 0 to 1: no probabilities")
        return np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs

    def score(self, X: Any, y: Any) -> float:
        """Accuracy for labels; the coefficient of determination R^2, the mean over the outputs, for other targets.

        Raises ValueError for a detector: `derive evaluate` measures its mean average precision.
        """
        if self.is_detector:
            raise ValueError("a detector is measured by its mean average precision: use derive evaluate")
        outputs = self.outputs(X)
        return self._score(outputs, self._targets(y, len(outputs)))

    def _score(self, outputs: np.ndarray, targets: Targets) -> float:
        if self.classes_ is not None or targets.classes is not None:
            outputs = outputs.reshape(len(outputs), -1)
            return float(np.mean(_places(outputs) == _places(targets.rows)))
        rows, outputs = targets.rows.astype(np.float64), outputs.reshape(len(outputs), -1)
        rest = np.square(rows - outputs).sum(axis=0)
        spread = np.square(rows - rows.mean(axis=0)).sum(axis=0)
        return float(np.mean(1 - rest / np.where(spread > 0, spread, 1)))

    # Files ------------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike) -> None:
        """Write the network to an ``.npz`` file, whole or not at all: layers, parameters, states, labels and history.

        So that training goes on from the file to the bit as from here, the states of the update rules and of the random
        generator are in it as well.
        """
        self._built()
        about = {
            "format": FORMAT, "layers": self.layers, "cost": self.cost and self.cost.name, "dtype": self.dtype.name,
            "random_state": self.random_state, "inputs": self._shape, "accuracy": self.accuracy,
            "history": self.history_, "random": self._random.bit_generator.state,
            "settings": {rule: {key: a.item() for key, a in cells.items()} for rule, cells in self._cells.items()},
        }  # fmt: skip
        arrays = {f"{n}.{name}": a for n, layer in enumerate(kept_arrays(self)) for name, a in layer.items()}
        for rule, states in self._states.items():
            arrays |= {f"{n}.{name}.{rule}.{state}": a for (n, name, state), a in states.items()}
        arrays["about"] = np.array(json.dumps(about))
        if self.classes_ is not None:
            arrays["classes"] = self.classes_
        with written_whole(path) as file:
            np.savez(file, allow_pickle=False, **arrays)


def load(path: str | os.PathLike) -> Network:
    """A network that :meth:`Network.save` wrote; :meth:`Network.partial_fit` goes on as if it had never been left.

    Raises ValueError if the file is not one or is damaged, or names a layer, cost or rule that is not known.
    """
    with open(path, "rb") as opened:
        try:
            with np.load(opened, allow_pickle=False) as file:
                arrays = dict(file)
            about = json.loads(str(arrays.pop("about")))
            if about["format"] != FORMAT:
                raise ValueError(f"its format is {about['format']!r}, not {FORMAT}")
            layers = [(name, *sizes, settings) for name, sizes, settings in about["layers"]]
            history, inputs = about["history"], tuple(about["inputs"])
            random, settings = about["random"], about["settings"]
            chosen = {key: about[key] for key in ("cost", "dtype", "random_state")}
            chosen["accuracy"] = about.get("accuracy", DEFAULT)  # files of before do not say
        except Exception as error:  # what a damaged file may raise has no end: zip, zlib, JSON, NumPy
            raise ValueError(f"{path} is not a network that Network.save wrote: {error}") from error
    try:
        network = Network(layers, inputs=inputs, **chosen)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    network.history_, network.classes_ = history, arrays.pop("classes", None)
    for number, layer in enumerate(kept_arrays(network)):
        for name, parameter in layer.items():
            stored = arrays.pop(f"{number}.{name}", np.zeros(0))
            if stored.shape != parameter.shape:
                raise ValueError(
                    f"{path}: {name} of layer {number + 1} has shape {stored.shape}, not {parameter.shape}"
                )
            parameter[...] = stored
    try:
        network._random.bit_generator.state = random
        for rule, cells in settings.items():
            network._cells[rule] = {key: np.array([float(value)]) for key, value in cells.items()}
        for key, stored in arrays.items():  # the rest: what the update rules know of the parameters
            number, name, rule, state = key.split(".")
            one = network._built().layers[int(number)]
            if one is None:
                raise LookupError(f"{key}: this layer has no parameters")
            kept = np.array(stored, network.dtype).reshape(one.parameters[name].shape)
            network._states.setdefault(rule, {})[int(number), name, state] = kept
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a network that Network.save wrote: {error!r}") from error
    return network


# What was given, checked ----------------------------------------------------------------------------------------------


def _shape(inputs: Any) -> tuple[int, ...]:
    axes = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    if not axes:
        raise ValueError("inputs must have an axis or more")
    return tuple(_integer("inputs", size, 1) for size in axes)


def _integer(name: str, value: Any, least: int) -> int:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be an integer, {least} or more, not {value!r}")
    return int(value)


def _number(name: str, value: Any) -> float:
    if not isinstance(value, int | float | np.integer | np.floating) or not np.isfinite(value):
        raise ValueError(f"{name} must be a finite number, not {value!r}")
    return float(value)


def _rates(given: dict[str, Any], steps: int) -> tuple[np.ndarray | None, dict[str, Any]]:
    """The learning rate of each step, if it is a sequence; and the settings, with the first of them."""
    rates = given.get("learning_rate")
    if not isinstance(rates, list | tuple | np.ndarray):
        return None, given
    try:
        found = np.ascontiguousarray(rates, np.float64)
    except (TypeError, ValueError):
        raise ValueError("learning_rate must be a number, or a sequence of numbers, one for each step") from None
    if found.shape != (steps,):
        raise ValueError(f"learning_rate has shape {found.shape}; of this call's {steps} steps each must have a number")
    if not (np.isfinite(found).all() and (found >= 0).all()):
        at = int(np.argmin(np.isfinite(found) & (found >= 0)))
        raise ValueError(f"learning_rate must be finite and not negative; that of step {at + 1} is {found[at]}")
    return found, {**given, "learning_rate": float(found[0])}


def _rule(name: str | None, given: dict[str, Any]) -> tuple[Rule, dict[str, float]]:
    """The rule of that name, or the one that the settings ask for, and all its settings but the step's number."""
    settings = {key: _number(key, value) for key, value in given.items() if value is not None}
    for key in ("learning_rate", "momentum", "weight_decay"):
        if settings.get(key, 0) < 0:
            raise ValueError(f"{key} must not be negative, as {settings[key]} is")
    if name is None:
        name = "momentum" if settings.get("momentum") else "gradient_descent"
    rule = rule_named(name)
    known = {key: value for key, value in rule.settings.items() if key != "step"}
    unknown = [key for key in settings if key not in known]
    if any(settings[key] or key not in ("momentum", "weight_decay") for key in unknown):  # 0 asks for none
        raise ValueError(f"{name} has no setting {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    for key, default in known.items():
        if default is None and key not in settings:
            raise ValueError(f"{name} needs {key}=")
    return rule, {key: settings.get(key, default) for key, default in known.items()}  # type: ignore[misc]


# Small parts ----------------------------------------------------------------------------------------------------------


def _predictions(plan: Plan) -> np.ndarray:
    """(N, P, 5 + K) of all heads."""
    return np.concatenate([head.predictions() for head in plan.heads], axis=1)


def kept_arrays(network: Network) -> list[dict[str, np.ndarray]]:
    """What files keep of each layer: its parameters and its states."""
    return [parameters | states for parameters, states in zip(network.parameters, network.states, strict=True)]


def _view(one: Link, arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    """A parameter, or its gradient, indexed as in its definition, whatever the order of its storage."""
    stored = dict(map(tensor, one.layer.storage))[name]
    declared = dict(map(tensor, one.layer.parameters))[name]
    return arrays[name].transpose([stored.index(i) for i in declared])


def _places(rows: np.ndarray) -> np.ndarray:
    """Which label a row of outputs, or of targets, stands for."""
    return (rows[:, 0] > 0.5).astype(int) if rows.shape[1] == 1 else rows.argmax(axis=1)


def _run(
    program: Program | Divided,
    data: list[np.ndarray],
    order: np.ndarray,
    losses: np.ndarray,
    rates: np.ndarray | None = None,
    rate: np.ndarray | None = None,
) -> Iterator[int]:
    """A step for each of the losses, in calls of about CALL_SECONDS; gives the number of steps done after each.

    rates: what the cell ``rate`` holds in each step. Ends with the first step whose loss is not finite.
    """
    done, count = 0, 1
    while done < len(losses):
        began = time.perf_counter()
        last = min(len(losses), done + count)
        done = program.run_steps(data, order, done, last, losses, rates, rate)
        yield done
        if done < last:
            return
        took = time.perf_counter() - began
        count = max(1, min(4 * count, int(count * CALL_SECONDS / max(took, 1e-6))))


@contextmanager
def _kept_on_error(arrays: list[np.ndarray], random: np.random.Generator) -> Iterator[None]:
    """What the arrays held, and where the generator stood, comes back if the block ends by an error, or by Ctrl-C."""
    kept, state = [a.copy() for a in arrays], random.bit_generator.state
    try:
        yield
    except BaseException:
        for a, before in zip(arrays, kept, strict=True):
            a[...] = before
        random.bit_generator.state = state
        raise


def _diverged(what: str) -> DivergedError:
    return DivergedError(f"{what}; the last good parameters are kept. A smaller learning_rate may help")
