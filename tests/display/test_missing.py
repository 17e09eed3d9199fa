"""Without matplotlib, drawing says what to install."""

import sys

import numpy as np
import pytest

from skimgcv import ImageAugmenter, display
from skimgcv.display import (
    AugmentationDisplay,
    DuplicatesDisplay,
    FoldHistoryDisplay,
    FoldScoresDisplay,
    MistakesDisplay,
)

IMAGES = np.zeros((2, 4, 4))
DRAW = {
    "AugmentationDisplay": lambda: AugmentationDisplay.from_estimator(ImageAugmenter(), IMAGES),
    "DuplicatesDisplay": lambda: DuplicatesDisplay.from_groups(IMAGES, [0, 0]),
    "FoldHistoryDisplay": lambda: FoldHistoryDisplay.from_histories([{"loss": [1.0]}]),
    "FoldScoresDisplay": lambda: FoldScoresDisplay.from_scores({"score": [1.0, 2.0]}),
    "MistakesDisplay": lambda: MistakesDisplay.from_predictions(IMAGES, [0, 1], np.eye(2)).plot(),
}


@pytest.mark.parametrize("name", DRAW)
def test_says_which_extra_is_missing(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=rf'{name}.plot needs .*"skimgcv\[plot\]"'):
        DRAW[name]()


def test_each_display_is_asked():
    assert set(DRAW) == set(display.__all__)
