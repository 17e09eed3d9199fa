"""Figures as data URIs. They hold no text of the user's: not every font has its letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skimgcv.display import FoldHistoryDisplay, FoldScoresDisplay
from skimgcv.display._plotting import loose_axes, svg_of
from skimgcv.report._curves import ClassCurves
from skimgcv.report._pictures import uri
from skimgcv.report._scores import FoldScores

_PURPOSE = "CrossValidationReport"
_INK, _ACCENT, _SECOND, _PALE = "#1d2733", "#1f6f8b", "#c8553d", "#9aa5b1"


def scores_figure(scores: Sequence[FoldScores], confidence_level: float) -> str:
    """Draw the scores that lie between 0 and 1: a row each."""
    axes = loose_axes((5.2, 0.9 + 0.55 * len(scores)), _PURPOSE)
    FoldScoresDisplay(
        {score.title: score.values for score in scores},
        means={score.title: score.mean for score in scores},
        intervals={score.title: score.interval for score in scores},
        confidence_level=confidence_level,
    ).plot(axes, scatter_kw={"color": _INK, "s": 26}, errorbar_kw={"color": _ACCENT})
    low, high = axes.get_xlim()
    axes.set_xlim(max(low, -0.01), min(high, 1.01))
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


def _drawn(axes: Any) -> str:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_PALE)
    axes.tick_params(colors=_INK)
    return uri(svg_of(axes.figure), "image/svg+xml")
