"""Minimal filtering by (m, r): m outputs of a correlation with r taps.

Written by ``derive generate``; change the template, not this file.
"""

from ..filtered import Filtering
from .f1_1 import F1_1
from .f2_2 import F2_2
from .f2_3 import F2_3
from .f2_5 import F2_5
from .f3_2 import F3_2
from .f4_3 import F4_3
from .f6_3 import F6_3

FILTERINGS: dict[tuple[int, int], Filtering] = {
    (1, 1): F1_1,
    (2, 2): F2_2,
    (2, 3): F2_3,
    (2, 5): F2_5,
    (3, 2): F3_2,
    (4, 3): F4_3,
    (6, 3): F6_3,
}
