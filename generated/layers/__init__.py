"""The layers that are known by name."""

from ..definition import register
from .average_pooling import AVERAGE_POOLING
from .convolution import CONVOLUTION
from .dense import DENSE
from .elu import ELU
from .gelu import GELU
from .hardtanh import HARDTANH
from .leaky import LEAKY
from .lhtan import LHTAN
from .linear import LINEAR
from .loggy import LOGGY
from .logistic import LOGISTIC
from .logistic_with_logistic_cross_entropy import LOGISTIC_WITH_LOGISTIC_CROSS_ENTROPY
from .logistic_with_softmax_cross_entropy import LOGISTIC_WITH_SOFTMAX_CROSS_ENTROPY
from .mish import MISH
from .objective import OBJECTIVE
from .plse import PLSE
from .ramp import RAMP
from .relie import RELIE
from .relu import RELU
from .selu import SELU
from .softmax import SOFTMAX
from .softmax_with_softmax_cross_entropy import SOFTMAX_WITH_SOFTMAX_CROSS_ENTROPY
from .softplus import SOFTPLUS
from .stair import STAIR
from .swish import SWISH
from .tanh import TANH

register(
    AVERAGE_POOLING,
    CONVOLUTION,
    DENSE,
    ELU,
    GELU,
    HARDTANH,
    LEAKY,
    LHTAN,
    LINEAR,
    LOGGY,
    LOGISTIC,
    LOGISTIC_WITH_LOGISTIC_CROSS_ENTROPY,
    LOGISTIC_WITH_SOFTMAX_CROSS_ENTROPY,
    MISH,
    OBJECTIVE,
    PLSE,
    RAMP,
    RELIE,
    RELU,
    SELU,
    SOFTMAX,
    SOFTMAX_WITH_SOFTMAX_CROSS_ENTROPY,
    SOFTPLUS,
    STAIR,
    SWISH,
    TANH,
)
