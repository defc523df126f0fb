"""Samples and targets as the kernels take them: checked, C-contiguous, of the network's dtype."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from .definition import Cost


@dataclass(frozen=True)
class Targets:
    """One row of targets a sample; and the labels that the places of a row stand for, where labels were given."""

    rows: np.ndarray
    classes: np.ndarray | None


def as_numbers(values: Any, dtype: np.dtype, name: str) -> np.ndarray:
    """A C-contiguous array of finite numbers. Raises ValueError, naming the place, for anything else."""
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "biufO":
            raise TypeError(f"these are {array.dtype}")
        with np.errstate(over="ignore"):
            array = np.asarray(array, dtype, order="C")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers: {error}") from error
    if not np.isfinite(array).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{name} has the value {array[place]} at {list(place)}; all must be finite numbers of {dtype}")
    return array


def as_samples(X: Any, dtype: np.dtype, shape: tuple[int, ...] | None, name: str = "X") -> np.ndarray:
    """Samples (N, ...), each of the given shape. Raises ValueError for what does not fit."""
    array = as_numbers(X, dtype, name)
    if array.ndim < 2:
        raise ValueError(f"{name} must have one row a sample, so two axes or more; its shape is {array.shape}")
    if not len(array):
        raise ValueError(f"{name} has no samples")
    if not array.size:
        raise ValueError(f"{name} has samples without numbers; its shape is {array.shape}")
    if shape and array.shape[1:] != shape:
        raise ValueError(f"{name} has samples of shape {array.shape[1:]}, the network takes {shape}")
    return array


def as_targets(
    y: Any,
    count: int,
    shape: tuple[int, ...],
    cost: Cost,
    dtype: np.dtype,
    classes: np.ndarray | None,
    name: str = "y",
) -> Targets:
    """Targets of ``count`` samples: labels (N,) as one-hot rows (0 and 1 for one output), numbers as they are.

    ``shape`` is that of the outputs of a sample, ``classes`` are the labels known before. Raises ValueError for what does
    not fit.
    """
    outputs = prod(shape)
    try:
        values = np.asarray(y)
    except ValueError as error:
        raise ValueError(f"{name} must be labels (N,) or numbers (N, {outputs}): {error}") from error
    if values.ndim == 0 or len(values) != count:
        raise ValueError(f"{name} must have one entry a sample, {count}; its shape is {values.shape}")
    if values.ndim == 1 and values.dtype.kind == "O":
        values = np.array(values.tolist())
    if values.ndim == 1 and values.dtype.kind != "f":
        return _labelled(values, outputs, cost, dtype, classes, name)
    rows = as_numbers(values, dtype, name)
    if (rows.ndim == 1 and outputs == 1) or rows.shape == (count, *shape):
        rows = rows.reshape(count, outputs)
    if rows.shape != (count, outputs):
        raise ValueError(
            f"{name} must be {count} labels (integers or strings) or numbers of shape {(count, outputs)}; "
            f"its shape is {rows.shape}, its dtype {values.dtype}"
        )
    return Targets(_adding_up(rows, cost, name), None)


def _labelled(
    labels: np.ndarray, outputs: int, cost: Cost, dtype: np.dtype, classes: np.ndarray | None, name: str
) -> Targets:
    width = max(outputs, 2)  # one output tells two labels apart
    if labels.dtype.kind not in "biuUS":
        raise ValueError(f"{name} must be labels (integers or strings) or numbers; its dtype is {labels.dtype}")
    if classes is None and labels.dtype.kind in "biu":
        classes = np.arange(width)
    if classes is None:
        classes = np.unique(labels)
        if len(classes) != width:
            raise ValueError(f"{name} has {len(classes)} different labels; {outputs} outputs tell {width} apart")
    known = np.isin(labels, classes)
    if not known.all():
        place = int(np.argmin(known))
        numbered = classes.dtype.kind == "i"
        shown = f"{classes[0]} to {classes[-1]}" if numbered else ", ".join(map(repr, classes.tolist()))
        advice = "; for numbers, not labels, give floats" if outputs == 1 and labels.dtype.kind in "iu" else ""
        raise ValueError(
            f"{name}: label {labels[place].item()!r} of sample {place} is out of range: the labels are {shown}{advice}"
        )
    places = np.searchsorted(classes, labels)
    rows = np.zeros((len(labels), outputs), dtype)
    if outputs == 1:
        rows[:, 0] = places
    else:
        rows[np.arange(len(labels)), places] = 1
    return Targets(_adding_up(rows, cost, name), classes)


def _adding_up(rows: np.ndarray, cost: Cost, name: str) -> np.ndarray:
    """The rows, if those of each sample add up to what the cost takes for granted."""
    for total in cost.totals.values():
        sums = rows.sum(axis=1, dtype=np.float64)
        wrong = np.flatnonzero(np.abs(sums - total) > 1e-5)
        if wrong.size:
            raise ValueError(
                f"{name}: the targets of each sample must add up to {total:g} for {cost.name}; "
                f"those of sample {wrong[0]} add up to {sums[wrong[0]]:g}"
            )
    return rows
