"""Kernels that were derived, and the network that trains with them. Needs NumPy and Numba, nothing else.

    from generated import Network

    network = Network([("dense", 30), "logistic", ("dense", 10), "logistic"], cost="quadratic", random_state=0)
    network.fit(X, y, epochs=10, batch_size=10, learning_rate=3.0)
    network.predict(X)

Layers, costs and update rules go by name: `names()` lists them. Written by ``derive generate``.
"""

from . import costs, layers, rules
from .network import DivergedError, Network, load, names

__all__ = ["DivergedError", "Network", "costs", "layers", "load", "names", "rules"]
