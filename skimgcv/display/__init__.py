"""Displays, as in scikit-learn: ``from_...`` computes the numbers, and ``plot`` draws them.

Images are arrays of shape (n, height, width[, channels]), or any object with ``shape`` and
``dtype`` that integer arrays can index. Needs ``pip install "skimgcv[plot]"``.
"""

from skimgcv.display._augmentation import AugmentationDisplay
from skimgcv.display._duplicates import DuplicatesDisplay
from skimgcv.display._history import FoldHistoryDisplay
from skimgcv.display._mistakes import MistakesDisplay
from skimgcv.display._scores import FoldScoresDisplay

__all__ = [
    "AugmentationDisplay",
    "DuplicatesDisplay",
    "FoldHistoryDisplay",
    "FoldScoresDisplay",
    "MistakesDisplay",
]
