"""Figures as data URIs. They hold no text of the user's: not every font has its letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skimgcv.display import FoldHistoryDisplay, FoldScoresDisplay
from skimgcv.display._plotting import loose_axes, svg_of
from skimgcv.report._curves import ClassCurves
from skimgcv.report._pictures import uri
from skimgcv.report._scores import FoldScores

_PURPOSE = "CrossValidationReport"
_INK, _ACCENT, _SECOND, _PALE = "#1d2733", "#1f6f8b", "#c8553d", "#9aa5b1"


def scores_figure(scores: Sequence[FoldScores], confidence_level: float) -> str:
    """Draw the scores of which 1 is the best: a row each."""
    axes = loose_axes((5.2, 0.9 + 0.55 * len(scores)), _PURPOSE)
    FoldScoresDisplay(
        {score.title: score.values for score in scores},
        means={score.title: score.mean for score in scores},
        intervals={score.title: score.interval for score in scores},
        confidence_level=confidence_level,
    ).plot(axes, scatter_kw={"color": _INK, "s": 26}, errorbar_kw={"color": _ACCENT})
    low, high = axes.get_xlim()
    lowest = min(score.limits[0] for score in scores)
    axes.set_xlim(max(low, lowest - 0.01), min(high, 1.01))
    return _drawn(axes)


def history_figure(estimators: Sequence[Any]) -> str:
    """Draw the loss of each epoch, of training and of the hold-out."""
    axes = loose_axes((5.2, 3.2), _PURPOSE)
    display = FoldHistoryDisplay.from_estimators(estimators, ax=axes)
    for lines, mean, color in (
        (display.lines_, display.mean_line_, _ACCENT),
        (display.validation_lines_, display.validation_mean_line_, _SECOND),
    ):
        for line in [*lines, *([] if mean is None else [mean])]:
            line.set_color(color)
    axes.legend(frameon=False)
    return _drawn(axes)


def class_figure(curves: ClassCurves) -> str:
    """Draw one class's curves, a line a fold, and what chance gives."""
    axes = loose_axes((2.6, 2.6), _PURPOSE)
    # The same labels in each: to lay out thirty of them anew would take seconds.
    axes.figure.set_layout_engine("none")
    axes.set_position((0.24, 0.2, 0.74, 0.74))
    is_roc = curves.kind == "roc"
    chance = [0, 1] if is_roc else [curves.share] * 2
    axes.plot([0, 1], chance, color=_PALE, ls="--", lw=1)
    for x, y in curves.curves:
        style = "default" if is_roc else "steps-post"
        axes.plot(x, y, color=_ACCENT, lw=1.3, alpha=0.7, drawstyle=style)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set(xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    axes.set(xlabel="false alarms" if is_roc else "found (recall)")
    axes.set(ylabel="found" if is_roc else "right (precision)")
    return _drawn(axes)


def predicted_figure(true: np.ndarray, predicted: np.ndarray) -> str:
    """Draw a point for each test, and the line on which predictions are right."""
    axes = _square_axes()
    ends = np.array([min(true.min(), predicted.min()), max(true.max(), predicted.max())])
    axes.plot(ends, ends, color=_PALE, ls="--", lw=1, zorder=0)
    _points(axes, true, predicted)
    axes.set(xlabel="true", ylabel="predicted")
    return _drawn(axes)


def residuals_figure(true: np.ndarray, predicted: np.ndarray) -> str:
    """Draw how far each test is off, over the true number."""
    axes = _square_axes()
    axes.axhline(0, color=_PALE, ls="--", lw=1, zorder=0)
    _points(axes, true, predicted - true)
    axes.set(xlabel="true", ylabel="predicted minus true")
    return _drawn(axes)


_MOST_SHAPES = 1000  # more points are an image within the figure, or the page becomes large


def _points(axes: Any, x: np.ndarray, y: np.ndarray) -> None:
    alpha = float(np.clip(30 / np.sqrt(len(x)), 0.15, 0.7))
    style = {"color": _ACCENT, "s": 16, "lw": 0, "alpha": alpha}
    axes.scatter(x, y, rasterized=len(x) > _MOST_SHAPES, **style)


def _square_axes() -> Any:
    axes = loose_axes((3.9, 3.5), _PURPOSE)
    axes.figure.set_dpi(150)
    return axes


def _drawn(axes: Any) -> str:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_PALE)
    axes.tick_params(colors=_INK)
    return uri(svg_of(axes.figure), "image/svg+xml")
