"""Images changed a little, anew each epoch, so that a network does not learn them by heart."""

from collections.abc import Collection

import numpy as np

KINDS = ("flip", "shift")
SHIFT = 2  # places that an image moves at most, up or down and left or right


def augmented(X: np.ndarray, kinds: Collection[str], seed: int, epoch: int) -> np.ndarray:
    """A copy of images (N, C, H, W): ``flip`` mirrors every other one, ``shift`` moves each, zeros coming in.

    Which and how far is drawn from the seed and the epoch alone. Raises ValueError for samples that are not planes.
    """
    if not kinds:
        return X
    if X.ndim != 4:
        raise ValueError("--augment changes images; give [net] height, width and channels, not inputs")
    random = np.random.default_rng([seed, epoch])
    samples, _, height, width = X.shape
    most = SHIFT if "shift" in kinds else 0
    rows, columns = random.integers(0, 2 * most + 1, (2, samples))
    mirrored = random.integers(0, 2, samples) if "flip" in kinds else np.zeros(samples, int)
    padded = np.pad(X, ((0, 0), (0, 0), (most, most), (most, most)))
    found = np.empty_like(X)
    for row in range(2 * most + 1):
        for column in range(2 * most + 1):
            moved = padded[:, :, row : row + height, column : column + width]
            for step in (1, -1):
                chosen = np.flatnonzero((rows == row) & (columns == column) & (mirrored == (step < 0)))
                found[chosen] = moved[chosen, :, :, ::step]
    return found
