"""The targets and outputs for which each of Keras' metrics is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import keras

from skimgcv._models.outputs import Outputs
from skimgcv._models.targets import Kind


@dataclass(frozen=True)
class Seen:
    """A description of the targets and outputs that a model's metrics get.

    Attributes
    ----------
    kind : {"classes", "labels", "numbers"}
        The kind of y.
    n_outputs : int
        1, for the second of two classes; or one for each class, label or number.
    sparse : bool
        Targets are class numbers, not one-hot rows.
    outputs : {"probabilities", "logits", "scores"}
    boundary : float
        A single output above it is the second class.
    softmax : bool
        Outputs are those of a softmax.
    weighted : bool
        Rows may have weights.
    """

    kind: Kind
    n_outputs: int
    sparse: bool
    outputs: Outputs
    boundary: float
    softmax: bool = False
    weighted: bool = False

    @property
    def by_itself(self) -> bool:
        """Whether each output is compared with a boundary, and not with the others."""
        return self.n_outputs == 1 or self.kind == "labels"

    @property
    def at_half(self) -> bool:
        """Whether an output above 0.5 is the second class, or a label."""
        return self.by_itself and self.boundary == 0.5


Rule = Callable[[Any, Seen], Any]
"""Returns the metric, or a similar one that is right here; raises if there is none."""


def rule_of(metric: keras.metrics.Metric) -> Rule | None:
    """Return the rule of a metric of Keras; the user's own metrics have none."""
    base: Any = next(c for c in type(metric).__mro__ if c.__module__.startswith("keras."))
    # A subclass that updates its state in its own way may take any targets.
    if type(metric).update_state is not base.update_state:
        return None
    rule = _RULES.get(base.__name__)
    return rule and of_kind(rule)


def of_kind(rule: Rule) -> Rule:
    """Let a rule refuse metrics for another kind of y."""

    def checked(metric: Any, seen: Seen) -> Any:
        if seen.kind == "numbers" and rule not in _OF_ANY_NUMBERS:
            refuse(
                metric,
                "is of classes, and y has numbers",
                "use 'mean_absolute_error' or keras.metrics.R2Score()",
            )
        if seen.kind == "labels" and rule in _OF_ONE_CLASS:
            refuse(
                metric,
                "is of one class a row, and y has several labels",
                "use 'binary_accuracy' or keras.metrics.AUC(multi_label=True)",
            )
        return rule(metric, seen)

    return checked


def takes_numbers(metric: Any) -> bool:
    """Whether a metric of Keras takes class numbers, not one-hot rows."""
    if isinstance(metric, keras.metrics.IoU):
        return bool(metric.sparse_y_true)
    name = getattr(metric, "__name__", type(metric).__name__)
    return isinstance(metric, tuple(_OF_ROWS)) or str(name).startswith("sparse_")


def like(metric: keras.metrics.Metric, **changes: Any) -> keras.metrics.Metric:
    """Make a copy of a metric with some arguments changed."""
    return type(metric).from_config({**metric.get_config(), **changes})


def refuse(metric: Any, reason: str, advice: str) -> NoReturn:
    """Say why a metric would be wrong, and what to do."""
    raise ValueError(f"The metric {name_of(metric)} {reason}; {advice}.")


def name_of(metric: Any) -> str:
    """Return the name of a function, or of an object's class."""
    if type(metric) is keras.metrics.MeanMetricWrapper:
        return str(metric.name)
    return str(getattr(metric, "__name__", type(metric).__name__))


# -- what metrics need ---------------------------------------------------------


def _needs_rows(metric: Any, seen: Seen) -> None:
    if seen.sparse and seen.n_outputs > 1:
        refuse(
            metric,
            "needs one-hot rows, and the loss takes class numbers",
            "pass loss='auto' or loss='categorical_crossentropy'",
        )


def _needs_columns(metric: Any, seen: Seen, instead: str) -> None:
    if seen.n_outputs == 1:
        refuse(metric, "needs several outputs, and the model has one", f"use {instead}")


def _needs_probabilities(metric: Any, seen: Seen) -> None:
    if seen.outputs != "probabilities":
        last = "sigmoid" if seen.by_itself else "softmax"
        refuse(
            metric,
            f"needs probabilities, and the model's outputs are {seen.outputs}",
            f"end the model with activation={last!r}",
        )


def _needs_no_softmax(metric: Any, seen: Seen) -> None:
    # Keras takes the logits of the softmax, and applies a sigmoid.
    if seen.softmax:
        refuse(metric, "is for sigmoid outputs", "use 'categorical_crossentropy'")


def _needs_class(metric: Any, seen: Seen) -> None:
    class_id = metric.class_id
    if class_id is not None and not 0 <= class_id < seen.n_outputs:
        refuse(
            metric,
            f"has class_id={class_id}",
            f"the model's outputs are numbered 0 to {seen.n_outputs - 1}",
        )


# -- rules ---------------------------------------------------------------------


def _never(reason: str, advice: str) -> Rule:
    def rule(metric: Any, _: Seen) -> Any:
        refuse(metric, reason, advice)

    return rule


def _likeliest(metric: Any, seen: Seen) -> Any:
    _needs_columns(metric, seen, "'accuracy'")
    _needs_rows(metric, seen)
    return metric


def _of_numbers(metric: Any, seen: Seen) -> Any:
    """Use the matching metric for one-hot rows, if targets are rows."""
    _needs_columns(metric, seen, "'accuracy' or 'binary_crossentropy'")
    kind = next(kind for kind in _OF_ROWS if isinstance(metric, kind))
    config = metric.get_config()
    if kind is keras.metrics.SparseCategoricalCrossentropy:
        metric = _crossentropy(metric, seen)
        config = metric.get_config()
    if seen.sparse:
        return metric
    left_out = {n: config.pop(n, None) for n in ("ignore_class", "from_sorted_ids")}
    if type(metric) is not kind or any(v not in (None, False) for v in left_out.values()):
        refuse(
            metric,
            "takes class numbers, and the loss one-hot rows",
            "pass loss='sparse_categorical_crossentropy', or use the metric of one-hot rows",
        )
    return _OF_ROWS[kind].from_config(config)


def _threshold(metric: Any, seen: Seen) -> Any:
    """Move a threshold of 0.5 to 0 if 0 divides the classes."""
    if isinstance(metric, keras.metrics.BinaryIoU) and not seen.by_itself:
        refuse(metric, "is for a model with one output", "use OneHotIoU or OneHotMeanIoU")
    _needs_rows(metric, seen)
    metric = _in_fractions(metric, seen)
    if seen.at_half or (seen.by_itself and not 0 < metric.threshold < 1):
        return metric
    if seen.by_itself and seen.outputs != "probabilities" and metric.threshold == 0.5:
        return like(metric, threshold=0.0)
    _needs_probabilities(metric, seen)
    return metric


def _f_score(metric: Any, seen: Seen) -> Any:
    _needs_rows(metric, seen)
    if seen.kind == "labels":
        _needs_probabilities(metric, seen)
        # Without a threshold Keras counts only the likeliest label.
        return metric if metric.threshold is not None else like(metric, threshold=0.5)
    if seen.n_outputs == 1:
        if metric.average is not None:
            refuse(
                metric,
                f"with average={metric.average!r} needs an output for each class",
                "use average=None, which is the score of the second class, or end the model "
                "with two softmax units",
            )
        if not seen.at_half:
            _needs_probabilities(metric, seen)
        threshold = 0.5 if metric.threshold is None else metric.threshold
        # For one column: a number, not a list of one.
        return like(metric, average="micro", threshold=threshold)
    if metric.threshold is not None:
        _needs_probabilities(metric, seen)
    return metric


def _counts(metric: Any, seen: Seen) -> Any:
    _needs_rows(metric, seen)
    if seen.n_outputs == 2 and not seen.by_itself:
        refuse(metric, "counts both classes", "end the model with one sigmoid unit")
    if not (seen.at_half and seen.outputs == "scores"):
        _needs_probabilities(metric, seen)
    return metric


def _of_a_class(metric: Any, seen: Seen) -> Any:
    """Choose the second of two classes, as scikit-learn does."""
    _needs_rows(metric, seen)
    _needs_class(metric, seen)
    top_k = getattr(metric, "top_k", None)
    if top_k is not None:
        _needs_columns(metric, seen, "thresholds")
    by_rank = top_k is not None and metric.get_config()["thresholds"] is None
    if not by_rank and not (seen.at_half and seen.outputs == "scores"):
        _needs_probabilities(metric, seen)
    if seen.n_outputs == 2 and metric.class_id is None and not seen.by_itself:
        return like(metric, class_id=1)
    return metric


def _auc(metric: Any, seen: Seen) -> Any:
    """Choose the second of two classes; turn logits of one unit into probabilities."""
    _needs_rows(metric, seen)
    config = metric.get_config()
    labels, weights = config["num_labels"], config["label_weights"]
    if labels not in (None, seen.n_outputs) or (
        weights is not None and len(weights) != seen.n_outputs
    ):
        refuse(
            metric,
            "has num_labels or label_weights for another number of outputs",
            f"the model has {seen.n_outputs}",
        )
    if seen.by_itself and seen.outputs == "logits":
        return metric if config["from_logits"] else like(metric, from_logits=True)
    _needs_probabilities(metric, seen)
    _refuse_logits(metric, config)
    of_both = seen.n_outputs == 2 and not seen.by_itself
    if of_both and not config["multi_label"] and weights is None:
        return like(metric, multi_label=True, num_labels=2, label_weights=[0.0, 1.0])
    return metric


def _crossentropy(metric: Any, seen: Seen) -> Any:
    """Set ``from_logits`` of a crossentropy."""
    of_columns = not isinstance(metric, keras.metrics.BinaryCrossentropy)
    if of_columns:
        _needs_columns(metric, seen, "'binary_crossentropy'")
    else:
        _needs_no_softmax(metric, seen)
    if not takes_numbers(metric):
        _needs_rows(metric, seen)
    config = metric.get_config()
    if seen.outputs == "logits" and (of_columns or seen.by_itself):
        return metric if config["from_logits"] else like(metric, from_logits=True)
    _needs_probabilities(metric, seen)
    _refuse_logits(metric, config)
    return metric


def _refuse_logits(metric: Any, config: dict[str, Any]) -> None:
    if config["from_logits"]:
        refuse(
            metric,
            "has from_logits=True, and the model's outputs are probabilities",
            "leave from_logits out",
        )


def _distribution(metric: Any, seen: Seen) -> Any:
    _needs_columns(metric, seen, "'binary_crossentropy'")
    _needs_rows(metric, seen)
    _needs_probabilities(metric, seen)
    return metric


def _probability(metric: Any, seen: Seen) -> Any:
    _needs_rows(metric, seen)
    _needs_probabilities(metric, seen)
    return metric


def _poisson(metric: Any, seen: Seen) -> Any:
    return metric if seen.kind == "numbers" else _probability(metric, seen)


def _percentage(metric: Any, seen: Seen) -> Any:
    if seen.kind != "numbers":
        refuse(metric, "divides by targets that are 0", "leave it out")
    return metric


def _focal(metric: Any, seen: Seen) -> Any:
    _needs_no_softmax(metric, seen)
    return _probability(metric, seen)


def _regression(metric: Any, seen: Seen) -> Any:
    _needs_rows(metric, seen)
    if seen.outputs == "logits":
        _needs_probabilities(metric, seen)
    return metric


def _direction(metric: Any, seen: Seen) -> Any:
    _needs_columns(metric, seen, "'mean_squared_error'")
    if metric.get_config().get("axis", -1) not in (-1, 1):
        refuse(metric, "over another axis depends on the batches", "leave axis out")
    return _regression(metric, seen)


def _margin(metric: Any, seen: Seen) -> Any:
    _needs_rows(metric, seen)
    return metric


def _overlap(metric: Any, seen: Seen) -> Any:
    _needs_columns(metric, seen, "BinaryIoU")
    if metric.sparse_y_pred:
        refuse(
            metric,
            "takes class numbers from the model, which gives an output for each class",
            f"use {'OneHotMeanIoU' if 'Mean' in type(metric).__name__ else 'OneHotIoU'}",
        )
    if metric.num_classes < seen.n_outputs:
        refuse(metric, f"has num_classes={metric.num_classes}", f"pass {seen.n_outputs}")
    metric = _in_fractions(metric, seen)
    if metric.sparse_y_true and not seen.sparse:
        return like(metric, sparse_y_true=False)
    if not metric.sparse_y_true:
        _needs_rows(metric, seen)
    return metric


def _in_fractions(metric: Any, seen: Seen) -> Any:
    """Keep an IoU from rounding weights down, since it counts in whole numbers."""
    whole = seen.weighted and "int" in str(metric.dtype) and hasattr(metric, "total_cm")
    return like(metric, dtype="float32") if whole else metric


_OF_ROWS = {
    keras.metrics.SparseCategoricalAccuracy: keras.metrics.CategoricalAccuracy,
    keras.metrics.SparseTopKCategoricalAccuracy: keras.metrics.TopKCategoricalAccuracy,
    keras.metrics.SparseCategoricalCrossentropy: keras.metrics.CategoricalCrossentropy,
}
# The rules for Poisson and percentages check the kind of y.
_OF_ANY_NUMBERS = {_regression, _direction, _poisson, _percentage}
_OF_ONE_CLASS = {_likeliest, _of_numbers, _distribution, _overlap}
_VALUE = _never("is of one value a row, and gets targets and outputs", "leave it out")
_RULES: dict[str, Rule] = {
    "Accuracy": _never("compares outputs with class numbers, which never agree", "use 'accuracy'"),
    "Mean": _VALUE,
    "Sum": _VALUE,
    "BinaryAccuracy": _threshold,
    "CategoricalAccuracy": _likeliest,
    "TopKCategoricalAccuracy": _likeliest,
    "SparseCategoricalAccuracy": _of_numbers,
    "SparseTopKCategoricalAccuracy": _of_numbers,
    "BinaryCrossentropy": _crossentropy,
    "CategoricalCrossentropy": _crossentropy,
    "SparseCategoricalCrossentropy": _of_numbers,
    "KLDivergence": _distribution,
    "Poisson": _poisson,
    "F1Score": _f_score,
    "FBetaScore": _f_score,
    "AUC": _auc,
    **dict.fromkeys(("Precision", "Recall"), _of_a_class),
    **dict.fromkeys(("SensitivityAtSpecificity", "SpecificityAtSensitivity"), _of_a_class),
    **dict.fromkeys(("PrecisionAtRecall", "RecallAtPrecision"), _of_a_class),
    **dict.fromkeys(("TruePositives", "TrueNegatives"), _counts),
    **dict.fromkeys(("FalsePositives", "FalseNegatives"), _counts),
    "BinaryIoU": _threshold,
    **dict.fromkeys(("IoU", "MeanIoU", "OneHotIoU", "OneHotMeanIoU"), _overlap),
    "MeanAbsolutePercentageError": _percentage,
    **dict.fromkeys(("MeanSquaredError", "RootMeanSquaredError", "R2Score"), _regression),
    **dict.fromkeys(("MeanAbsoluteError", "MeanSquaredLogarithmicError"), _regression),
    "LogCoshError": _regression,
    **dict.fromkeys(("CosineSimilarity", "PearsonCorrelation"), _direction),
    "ConcordanceCorrelation": _direction,
    **dict.fromkeys(("Hinge", "SquaredHinge"), _margin),
    "CategoricalHinge": _likeliest,
}
RULES_OF_FUNCTIONS: dict[str, Rule] = {
    "binary_focal_crossentropy": of_kind(_focal),
    "categorical_focal_crossentropy": of_kind(_distribution),
    "huber": of_kind(_regression),
    "log_cosh": of_kind(_regression),
}
NAMES = tuple(_RULES)
