"""The model that the command line trains where none is named."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from skimgcv._models.heads import head


def small_cnn(meta: dict[str, Any]) -> keras.Model:
    """Build up to three blocks of convolution and pooling, as many as the size allows."""
    height, width, _ = meta["image_shape_"]
    model = keras.Sequential([layers.Input(meta["image_shape_"])])
    for filters in (16, 32, 64):
        model.add(layers.Conv2D(filters, 3, padding="same", activation="relu"))
        if min(height, width) >= 4:
            model.add(layers.MaxPooling2D())
            height, width = height // 2, width // 2
    model.add(layers.Flatten())
    model.add(layers.Dense(64, activation="relu"))
    model.add(layers.Dropout(0.3))
    model.add(head(meta))
    return model
