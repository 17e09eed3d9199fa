"""The sections of a report on several labels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.metrics import f1_score

from skimgcv.report._cross_validation import CrossValidation
from skimgcv.report._curves import curves_of
from skimgcv.report._figures import class_figure
from skimgcv.report._pictures import image_uris
from skimgcv.report._predictions import LabelPredictions
from skimgcv.report._sections import Section


def summary(run: CrossValidation) -> Section:
    """Say in three sentences what came out."""
    (_, false_alarms), (missed, hits) = run.predictions.confusion().transpose(1, 2, 0)
    with np.errstate(invalid="ignore"):
        found = hits / (hits + missed)
    worst = int(np.nanargmin(found)) if np.isfinite(found).any() else 0
    names = run.predictions.classes
    combinations, counts = np.unique(run.predictions.labels, axis=0, return_counts=True)
    common = combinations[counts.argmax()].astype(bool)
    kind = "missed" if missed.max() >= false_alarms.max() else "false alarm"
    of_kind = missed if kind == "missed" else false_alarms
    return {
        "n_right": run.predictions.n_right,
        "n_tests": len(run.predictions.rows),
        "common": ", ".join(map(str, names[common])),
        "common_share": counts.max() / counts.sum(),
        "worst_label": names[worst],
        "worst_found": found[worst],
        "mistake": kind,
        "mistake_label": names[of_kind.argmax()],
        "n_mistakes": int(of_kind.max()),
        "n_findings": len(run.findings),
        "has_images": run.has_images,
    }


def labels(run: CrossValidation) -> Section:
    """Show how well each label is found, and its curves."""
    predictions = run.predictions
    curves = curves_of(predictions, "precision-recall")
    f1 = f1_score(predictions.labels, predictions.predicted, average=None, zero_division=np.nan)
    rows = []
    for at, (of_label, counts) in enumerate(zip(curves, predictions.confusion(), strict=True)):
        (left_out, false_alarms), (missed, hits) = counts.tolist()
        rows.append(
            {
                "label": of_label.label,
                "n": hits + missed,
                "hits": hits,
                "missed": missed,
                "false_alarms": false_alarms,
                "left_out": left_out,
                "found": hits / (hits + missed) if hits + missed else np.nan,
                "right": hits / (hits + false_alarms) if hits + false_alarms else np.nan,
                "f1": f1[at],
                "area": of_label.area,
                "share": of_label.share,
            }
        )
    return {
        "rows": rows,
        "n_tests": len(predictions.rows),
        "figures": [(c.label, c.area, len(c.curves), class_figure(c)) for c in curves if c.curves],
    }


def mistakes(run: CrossValidation) -> Section | None:
    """Show for each label the wrong answers that the model was surest of."""
    if not run.has_images:
        return None
    by_row = run.predictions.by_row()
    wrong = by_row.predicted != by_row.labels
    places = sorted(_surest_first(by_row, wrong)[: run.n_mistakes], key=lambda place: place[1])
    pictures = image_uris(run.X, by_row.rows[[at for at, _ in places]], run.flat_shape)
    confidence = np.where(by_row.labels == 1, 1 - by_row.proba, by_row.proba)
    return {
        "mistakes": [
            {
                "image": image,
                "name": run.name_of(by_row.rows[at]),
                "label": by_row.classes[label],
                "is_missed": bool(by_row.labels[at, label]),
                "confidence": confidence[at, label],
                "truth": run.targets.captions[by_row.rows[at]],
                "fold": by_row.folds[at] + 1,
            }
            for image, (at, label) in zip(pictures, places, strict=True)
        ],
        "n_wrong": int(wrong.any(axis=1).sum()),
        "n_images": len(by_row.rows),
        "is_repeated": len(by_row.rows) < len(run.predictions.rows),
    }


def _surest_first(by_row: LabelPredictions, wrong: np.ndarray) -> list[tuple[int, int]]:
    """Return places of wrong answers: the surest of each label, the second of each, ..."""
    sure: np.ndarray = np.abs(by_row.proba - 0.5)

    def ranked() -> Iterator[tuple[int, float, int, int]]:
        for label in range(wrong.shape[1]):
            rows = np.flatnonzero(wrong[:, label])
            rows = rows[np.argsort(-sure[rows, label], kind="stable")]
            for rank, row in enumerate(rows.tolist()):
                yield rank, -sure[row, label], row, label

    return [(row, label) for _, _, row, label in sorted(ranked())]


def limits(run: CrossValidation) -> Section:
    """Say what the numbers do not say."""
    n_having = run.predictions.labels.sum(axis=0)
    return {
        "has_groups": run.groups is not None,
        "smallest_class": run.predictions.classes[n_having.argmin()],
        "smallest_size": int(n_having.min()),
    }


def data(run: CrossValidation) -> Section:
    """Show how many images of each label each fold tests."""
    y = run.targets.y
    rows = [
        (name, int(column.sum()), [int(column[test].sum()) for _, test in run.splits])
        for name, column in zip(run.targets.names, y.T, strict=True)
    ]
    without = y.sum(axis=1) == 0
    return run.about_images | {
        "rows": rows,
        "n_without": int(without.sum()),
        "without": [int(without[test].sum()) for _, test in run.splits],
        "per_image": float(y.sum(axis=1).mean()),
    }
