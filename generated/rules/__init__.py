"""The rules that are known by name."""

from ..definition import register
from .adam import ADAM
from .gradient_descent import GRADIENT_DESCENT
from .momentum import MOMENTUM
from .momentum_darknet import MOMENTUM_DARKNET
from .nesterov import NESTEROV

register(
    ADAM,
    GRADIENT_DESCENT,
    MOMENTUM,
    MOMENTUM_DARKNET,
    NESTEROV,
)
