"""The layers that are known by name."""

from ..definition import register
from .average_pooling import AVERAGE_POOLING
from .batch_norm import BATCH_NORM
from .batch_norm_darknet import BATCH_NORM_DARKNET
from .batch_norm_darknet_inference import BATCH_NORM_DARKNET_INFERENCE
from .batch_norm_darknet_leaky import BATCH_NORM_DARKNET_LEAKY
from .batch_norm_darknet_relu import BATCH_NORM_DARKNET_RELU
from .batch_norm_inference import BATCH_NORM_INFERENCE
from .batch_norm_leaky import BATCH_NORM_LEAKY
from .batch_norm_relu import BATCH_NORM_RELU
from .convolution import CONVOLUTION
from .dense import DENSE
from .depthwise_convolution import DEPTHWISE_CONVOLUTION
from .dropout import DROPOUT
from .elu import ELU
from .flatten import FLATTEN
from .gelu import GELU
from .global_average_pooling import GLOBAL_AVERAGE_POOLING
from .grouped_convolution import GROUPED_CONVOLUTION
from .hardtanh import HARDTANH
from .leaky import LEAKY
from .lhtan import LHTAN
from .linear import LINEAR
from .local import LOCAL
from .loggy import LOGGY
from .logistic import LOGISTIC
from .logistic_with_logistic_cross_entropy import LOGISTIC_WITH_LOGISTIC_CROSS_ENTROPY
from .logistic_with_softmax_cross_entropy import LOGISTIC_WITH_SOFTMAX_CROSS_ENTROPY
from .max_pooling import MAX_POOLING
from .mish import MISH
from .objective import OBJECTIVE
from .plse import PLSE
from .ramp import RAMP
from .region import REGION
from .relie import RELIE
from .relu import RELU
from .reorg import REORG
from .route import ROUTE
from .route_2 import ROUTE_2
from .route_3 import ROUTE_3
from .route_4 import ROUTE_4
from .selu import SELU
from .shortcut import SHORTCUT
from .shortcut_unequal import SHORTCUT_UNEQUAL
from .softmax import SOFTMAX
from .softmax_with_softmax_cross_entropy import SOFTMAX_WITH_SOFTMAX_CROSS_ENTROPY
from .softplus import SOFTPLUS
from .stair import STAIR
from .swish import SWISH
from .tanh import TANH
from .upsample import UPSAMPLE
from .yolo import YOLO

register(
    AVERAGE_POOLING,
    BATCH_NORM,
    BATCH_NORM_DARKNET,
    BATCH_NORM_DARKNET_INFERENCE,
    BATCH_NORM_DARKNET_LEAKY,
    BATCH_NORM_DARKNET_RELU,
    BATCH_NORM_INFERENCE,
    BATCH_NORM_LEAKY,
    BATCH_NORM_RELU,
    CONVOLUTION,
    DENSE,
    DEPTHWISE_CONVOLUTION,
    DROPOUT,
    ELU,
    FLATTEN,
    GELU,
    GLOBAL_AVERAGE_POOLING,
    GROUPED_CONVOLUTION,
    HARDTANH,
    LEAKY,
    LHTAN,
    LINEAR,
    LOCAL,
    LOGGY,
    LOGISTIC,
    LOGISTIC_WITH_LOGISTIC_CROSS_ENTROPY,
    LOGISTIC_WITH_SOFTMAX_CROSS_ENTROPY,
    MAX_POOLING,
    MISH,
    OBJECTIVE,
    PLSE,
    RAMP,
    REGION,
    RELIE,
    RELU,
    REORG,
    ROUTE,
    ROUTE_2,
    ROUTE_3,
    ROUTE_4,
    SELU,
    SHORTCUT,
    SHORTCUT_UNEQUAL,
    SOFTMAX,
    SOFTMAX_WITH_SOFTMAX_CROSS_ENTROPY,
    SOFTPLUS,
    STAIR,
    SWISH,
    TANH,
    UPSAMPLE,
    YOLO,
)
