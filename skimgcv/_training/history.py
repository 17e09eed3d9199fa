"""The history of a fit: a value of each metric for each epoch."""

from __future__ import annotations

import math
import warnings

import numpy as np

from skimgcv._runtime.callers import user_stacklevel
from skimgcv.exceptions import NonFiniteLossWarning

History = dict[str, list[float]]


def joined(before: History, after: History) -> History:
    """Return one history for two sets of epochs, one after the other.

    The two may have different metrics. A value is NaN if a metric was not measured.
    """
    if not before:
        return after
    return {
        name: [
            *before.get(name, [math.nan] * len(before["loss"])),
            *after.get(name, [math.nan] * len(after.get("loss", []))),
        ]
        for name in [*before, *(name for name in after if name not in before)]
    }


def warn_not_finite(history: History, first_epoch: int) -> None:
    """Warn if a loss is not finite, and name its epoch."""
    for name in ("loss", "val_loss"):
        finite = np.isfinite(history.get(name, []))
        if not finite.all():
            warnings.warn(
                f"{name} was {history[name][int(np.argmin(finite))]} in epoch "
                f"{first_epoch + int(np.argmin(finite))}: the model is useless from "
                "then on. Lower the learning rate or rescale the images; "
                "callbacks=keras.callbacks.TerminateOnNaN() stops at the first such batch.",
                NonFiniteLossWarning,
                stacklevel=user_stacklevel(),
            )
            return
