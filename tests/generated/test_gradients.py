"""Outputs, losses, gradients and updates of generated networks against PyTorch, in float64.

The other side is written here in PyTorch's own operations; it knows nothing of the definitions.
"""

import numpy as np
import pytest

from generated import Network

torch = pytest.importorskip("torch")

ACTIVATIONS = {
    "logistic": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "leaky": lambda z: torch.nn.functional.leaky_relu(z, 0.1),
    "linear": lambda z: z,
    "elu": torch.nn.functional.elu,
    "softplus": lambda z: torch.logaddexp(z, torch.zeros_like(z)),  # its own softplus is linear from 20 on
    "hardtanh": torch.nn.functional.hardtanh,
    "relie": lambda z: torch.nn.functional.leaky_relu(z, 0.01),
    "ramp": lambda z: torch.relu(z) + 0.1 * z,
    "plse": lambda z: torch.where(z < -4, (z + 4) / 100, torch.where(z > 4, (z - 4) / 100 + 1, z / 8 + 0.5)),
    "lhtan": lambda z: torch.where(z < 0, z / 1000, torch.where(z > 1, (z - 1) / 1000 + 1, z)),
    "stair": lambda z: torch.floor(z / 2) + torch.relu(z - 2 * torch.floor(z / 2) - 1),
    "loggy": lambda z: 2 * torch.sigmoid(z) - 1,
    "selu": lambda z: 1.0507 * torch.where(z < 0, 1.6732 * torch.expm1(z), z),
    "mish": torch.nn.functional.mish,
    "swish": torch.nn.functional.silu,
    "gelu": torch.nn.functional.gelu,
    "softmax": lambda z: torch.softmax(z, 1),
}
COSTS = {
    "quadratic": lambda a, y: ((y - a) ** 2).sum(1) / 2,
    "squared_error": lambda a, y: ((a - y) ** 2).sum(1),
    "logistic_cross_entropy": lambda a, t: -(t * torch.log(a) + (1 - t) * torch.log1p(-a)).sum(1),
    "softmax_cross_entropy": lambda a, t: -(t * torch.log(a)).sum(1),
}
TOLERANCE = 1e-12  # relative to the largest element


def forward(parameters: list, activations: list[str], x):
    for (w, b), name in zip(parameters, activations, strict=True):
        x = ACTIVATIONS[name](x @ w.T + b)
    return x


def close(ours: np.ndarray, theirs) -> None:
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= TOLERANCE * max(np.abs(theirs).max(), np.finfo(float).tiny)


def chain(sizes: list[int], activations: list[str]) -> list:
    return [entry for size, name in zip(sizes, activations, strict=True) for entry in (("dense", size), name)]


def set_parameters(network: Network, values: list) -> None:
    for layer, (w, b) in zip(network.parameters[::2], values, strict=True):
        layer["w"][...], layer["b"][...] = w.detach().numpy(), b.detach().numpy()


def random_case(random, sizes: list[int], activations: list[str], cost: str, batch: int):
    """Parameters, samples and targets for which the cost is defined: outputs in (0, 1) for a cross-entropy."""
    shape = list(zip(sizes[1:], sizes[:-1], strict=True))
    weights = [torch.tensor(random.standard_normal((j, k)) / np.sqrt(k)) for j, k in shape]
    biases = [torch.tensor(random.standard_normal(j) / 2) for j, _ in shape]
    x = torch.tensor(random.standard_normal((batch, sizes[0])))
    if cost.endswith("cross_entropy"):
        hidden = forward(list(zip(weights, biases, strict=True))[:-1], activations[:-1], x)
        weights[-1] *= 0.3 / (hidden @ weights[-1].T).abs().max().clamp(min=0.3)
        middle = {"softplus": -0.5, "stair": 1.5}.get(activations[-1], 0.5)
        biases[-1] = torch.tensor(middle + random.uniform(-0.1, 0.1, sizes[-1]))
    y = random.standard_normal((batch, sizes[-1]))
    if cost == "logistic_cross_entropy":
        y = np.where(random.random(y.shape) < 0.5, random.random(y.shape), y > 0)
    if cost == "softmax_cross_entropy":
        y = random.dirichlet(np.ones(sizes[-1]), batch)
        y[::2] = np.eye(sizes[-1])[random.integers(sizes[-1], size=len(y[::2]))]
    return [(w.requires_grad_(), b.requires_grad_()) for w, b in zip(weights, biases, strict=True)], x, torch.tensor(y)


def agrees(sizes: list[int], activations: list[str], cost: str, batch: int, random) -> None:
    """Outputs, loss and every gradient of one network are PyTorch's."""
    parameters, x, y = random_case(random, sizes, activations, cost, batch)
    network = Network(chain(sizes[1:], activations), cost=cost, dtype="float64", inputs=sizes[0])
    set_parameters(network, parameters)
    outputs = forward(parameters, activations, x)
    loss = COSTS[cost](outputs, y).mean()
    loss.backward()
    samples, targets = x.numpy(), y.numpy()
    close(network.outputs(samples), outputs)
    assert network.loss(samples, targets) == pytest.approx(loss.item(), rel=TOLERANCE)
    gradients = network.gradients(samples, targets)
    for layer, (w, b) in zip(gradients[::2], parameters, strict=True):
        close(layer["w"], w.grad)
        close(layer["b"], b.grad)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_are_those_of_pytorch(activation, cost, depth):
    random = np.random.default_rng([depth, *activation.encode(), *cost.encode()])
    sizes = [int(s) for s in random.integers(1, 40, depth + 1)]
    hidden = [str(name) for name in random.choice(list(ACTIVATIONS), depth - 1)]
    agrees(sizes, [*hidden, activation], cost, int(random.integers(1, 40)), random)


@pytest.mark.parametrize("seed", range(12))
def test_gradients_of_random_wide_networks_are_those_of_pytorch(seed):
    random = np.random.default_rng(seed)
    depth = int(random.integers(1, 5))
    sizes = [int(s) for s in random.integers(65, 200, depth + 1)]
    activations = [str(name) for name in random.choice(list(ACTIVATIONS), depth)]
    agrees(sizes, activations, str(random.choice(list(COSTS))), int(random.integers(1, 100)), random)


@pytest.mark.parametrize("batch", [1, 2, 5, 127, 300])
def test_gradients_of_layers_wide_enough_for_threads_are_those_of_pytorch(batch):
    random = np.random.default_rng(batch)
    agrees([301, 259, 11], ["relu", "softmax"], "softmax_cross_entropy", batch, random)


SET = {
    "swish": ({"beta": 1.7}, lambda z: z * torch.sigmoid(1.7 * z)),
    "selu": ({"scale": 1.0507009873554804934, "alpha": 1.6732632423543772848}, torch.nn.functional.selu),
}


@pytest.mark.parametrize("name", SET)
def test_the_settings_of_an_activation_are_those_of_its_layer(name):
    given, peer = SET[name]
    random = np.random.default_rng(6)
    x, y = random.standard_normal((2, 19, 7)) * 3
    network = Network([("dense", 7), (name, given)], dtype="float64", inputs=7, random_state=0)
    w, b = (torch.tensor(network.parameters[0][key], requires_grad=True) for key in "wb")
    outputs = peer(torch.tensor(x) @ w.T + b)
    (((outputs - torch.tensor(y)) ** 2).sum(1).mean() / 2).backward()
    close(network.outputs(x), outputs)
    gradients = network.gradients(x, y)[0]
    close(gradients["w"], w.grad)
    close(gradients["b"], b.grad)


@pytest.mark.parametrize("units", [1, 2])
def test_gradients_of_single_units_are_those_of_pytorch(units):
    agrees([1, units, units, units], ["tanh", "elu", "logistic"], "quadratic", 1, np.random.default_rng(units))


def groups(parameters: list, weight_decay: float) -> list[dict]:
    """Weight decay acts on weights, not on biases."""
    weights, biases = zip(*parameters, strict=True)
    return [{"params": weights, "weight_decay": weight_decay}, {"params": biases, "weight_decay": 0.0}]


OPTIMIZERS = {
    "gradient_descent": (lambda p: torch.optim.SGD(p, lr=0.07), {}),
    "momentum": (lambda p: torch.optim.SGD(p, lr=0.07, momentum=0.8), {"momentum": 0.8}),
    "nesterov": (lambda p: torch.optim.SGD(p, lr=0.07, momentum=0.8, nesterov=True), {"momentum": 0.8}),
    "adam": (
        lambda p: torch.optim.Adam(p, lr=0.07, betas=(0.8, 0.95), eps=1e-6),
        {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-6},
    ),
}


@pytest.mark.parametrize("weight_decay", [0.0, 0.03])
@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_steps_of_an_update_rule_are_those_of_pytorch(rule, weight_decay):
    sizes, activations, batch = [13, 70, 7], ["tanh", "logistic"], 11
    random = np.random.default_rng(5)
    parameters, x, y = random_case(random, sizes, activations, "quadratic", 3 * batch + 4)
    network = Network(chain(sizes[1:], activations), cost="quadratic", dtype="float64", inputs=sizes[0])
    set_parameters(network, parameters)
    make, settings = OPTIMIZERS[rule]
    optimizer = make(groups(parameters, weight_decay))
    for _ in range(3):
        for begin in range(0, len(x), batch):
            optimizer.zero_grad()
            part = slice(begin, begin + batch)
            COSTS["quadratic"](forward(parameters, activations, x[part]), y[part]).mean().backward()
            optimizer.step()
    network.partial_fit(
        x.numpy(), y.numpy(), epochs=3, batch_size=batch, shuffle=False,
        rule=rule, learning_rate=0.07, weight_decay=weight_decay, **settings,
    )  # fmt: skip
    for layer, (w, b) in zip(network.parameters[::2], parameters, strict=True):
        close(layer["w"], w)
        close(layer["b"], b)
