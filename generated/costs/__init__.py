"""The costs that are known by name."""

from ..definition import register
from .logistic_cross_entropy import LOGISTIC_CROSS_ENTROPY
from .quadratic import QUADRATIC
from .softmax_cross_entropy import SOFTMAX_CROSS_ENTROPY
from .squared_error import SQUARED_ERROR

register(
    LOGISTIC_CROSS_ENTROPY,
    QUADRATIC,
    SOFTMAX_CROSS_ENTROPY,
    SQUARED_ERROR,
)
