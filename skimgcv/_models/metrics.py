"""Metrics of Keras get the targets and outputs that they need, or are refused before training."""

from __future__ import annotations

import difflib
import inspect
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import keras

from skimgcv._models.metric_rules import (
    NAMES,
    RULES_OF_FUNCTIONS,
    Rule,
    Seen,
    like,
    name_of,
    refuse,
    rule_of,
    takes_numbers,
)
from skimgcv._models.outputs import ends_with_softmax, outputs_are
from skimgcv._models.targets import Targets
from skimgcv._runtime.callers import user_stacklevel
from skimgcv.exceptions import MetricTargetsWarning


def need_rows(*metrics: Any) -> bool:
    """Whether metrics need one-hot rows, if ``loss="auto"`` may choose.

    Parameters
    ----------
    *metrics : list, dict, object or None
        As for ``keras.Model.compile``, of a model with an output for each class.

    Raises
    ------
    ValueError
        If one metric needs rows, and the needs of another are unknown.

    Warns
    -----
    MetricTargetsWarning
        If one is the user's own and gets class numbers.
    """
    rules = [_with_rule(metric) for metric in _flat(metrics) if not _is_accuracy(metric)]
    own = [name_of(metric) for metric, rule in rules if rule is None]
    of_rows = [name_of(metric) for metric, rule in rules if rule and not takes_numbers(metric)]
    if own and of_rows:
        raise ValueError(
            f"The metric {of_rows[0]} needs one-hot rows. The metric {own[0]} is your own, so its "
            "needs are unknown. If it takes one-hot rows too, pass "
            "loss='categorical_crossentropy'; if not, leave one of the two out."
        )
    if own:
        warnings.warn(
            f"The metric {own[0]} is your own. With loss='auto' its y_true are class numbers, of "
            "shape (n, 1). If it takes one-hot rows, pass loss='categorical_crossentropy'; if "
            "not, loss='sparse_categorical_crossentropy', which ends this warning.",
            MetricTargetsWarning,
            stacklevel=user_stacklevel(),
        )
    return bool(of_rows)


def right_metrics(
    model: keras.Model, loss: Any, targets: Targets, arguments: dict[str, Any]
) -> dict[str, Any]:
    """Return the arguments of ``compile`` with wrong metrics, corrected.

    Parameters
    ----------
    model : keras.Model
    loss : str, callable or keras.losses.Loss
        The model's loss, even if the model is not compiled with it yet.
    targets : Targets
    arguments : dict
        Of ``keras.Model.compile``.

    Raises
    ------
    ValueError
        If a metric cannot be right.
    """
    seen = Seen(
        kind=targets.kind,
        n_outputs=targets.n_outputs,
        sparse=targets.sparse,
        outputs=outputs_are(model, loss),
        boundary=0.0 if targets.logits else 0.5,
        softmax=ends_with_softmax(model),
    )
    right = {}
    for name in ("metrics", "weighted_metrics"):
        given = arguments.get(name)
        # Keras would make objects of classes in fit, and number them.
        made = _objects(given) if type(model).compile is keras.Model.compile else given
        mended = adapted(made, replace(seen, weighted=name == "weighted_metrics"))
        if not same(mended, given):
            right[name] = mended
    return right


def adapted(metrics: Any, seen: Seen) -> Any:
    """Return metrics for ``compile``, with right ones in place of wrong ones.

    Unchanged metrics are the same objects.

    Raises
    ------
    ValueError
        If a metric cannot be right for this model.
    """
    if isinstance(metrics, dict):
        return {name: adapted(metric, seen) for name, metric in metrics.items()}
    if isinstance(metrics, (list, tuple)):
        return [adapted(metric, seen) for metric in metrics]
    by_shape = _is_accuracy(metrics) and seen.kind == "classes" and seen.n_outputs > 1
    if metrics is None or by_shape:
        return metrics
    metric, rule = _with_rule(metrics)
    right = metric if rule is None else rule(metric, seen)
    # For several labels, Keras would take "accuracy" as that of one class for each row.
    as_given = right is metric and not (_is_accuracy(metrics) and seen.kind == "labels")
    return metrics if as_given else right


def _objects(metrics: Any) -> Any:
    return keras.tree.map_structure(lambda it: it() if inspect.isclass(it) else it, metrics)


def check_names(metrics: Any) -> None:
    """Refuse names of unknown metrics."""
    for metric in _flat(metrics):
        if isinstance(metric, str) and not _is_accuracy(metric):
            _by_name(metric)


def same(metrics: Any, others: Any) -> bool:
    """Whether no metric was changed."""
    return all(a is b for a, b in zip(_flat(metrics), _flat(others), strict=True))


def named(given: Any, made: Any) -> Any:
    """Name the metrics that SciKeras has made of strings as Keras does: by the string."""
    if isinstance(given, dict) and isinstance(made, dict):
        return {name: named(given[name], metric) for name, metric in made.items()}
    if isinstance(given, (list, tuple)) and isinstance(made, (list, tuple)):
        return [named(*pair) for pair in zip(given, made, strict=True)]
    if isinstance(made, keras.metrics.Metric) and isinstance(given, str):
        made.name = given
    return made


# -- the metric of a name -----------------------------------------------------


def _flat(metrics: Any) -> Iterator[Any]:
    if isinstance(metrics, dict):
        metrics = list(metrics.values())
    if isinstance(metrics, (list, tuple)):
        for metric in metrics:
            yield from _flat(metric)
    elif metrics is not None:
        yield metrics


def _is_accuracy(metric: Any) -> bool:
    """Whether Keras chooses the kind of accuracy by shapes."""
    return isinstance(metric, str) and metric.lower() in ("accuracy", "acc")


def _with_rule(metric: Any) -> tuple[Any, Rule | None]:
    """Return the object that Keras would make of a metric, and its rule if it is Keras' own."""
    if _is_accuracy(metric):
        metric = keras.metrics.BinaryAccuracy(name=metric)
    elif isinstance(metric, str):
        metric = like(_by_name(metric), name=metric)
    elif inspect.isclass(metric):
        metric = metric()
    if isinstance(metric, keras.losses.Loss) and metric.reduction not in (None, "none"):
        refuse(
            metric,
            "is a loss, which averages each batch, so that a smaller one counts as much",
            f"use keras.metrics.{type(metric).__name__}",
        )
    if isinstance(metric, keras.metrics.Metric):
        return metric, rule_of(metric)
    if inspect.isfunction(metric) and metric.__module__.startswith("keras."):
        return _of_function(metric)
    if not callable(metric):
        raise TypeError(
            f"metrics are Keras' metrics, names of them, or functions; got {metric!r}."
        )
    return metric, None


def _of_function(function: Any) -> tuple[Any, Rule]:
    name = function.__name__
    if name in RULES_OF_FUNCTIONS:
        return function, RULES_OF_FUNCTIONS[name]
    try:
        metric = like(keras.metrics.get(name), name=name)
    except ValueError:
        refuse(function, "is a loss of whole batches", "leave it out")
    rule = rule_of(metric)
    assert rule is not None
    # An unchanged function stays as it is.
    return function, lambda _, seen: function if (new := rule(metric, seen)) is metric else new


def _by_name(name: str) -> keras.metrics.Metric:
    try:
        return keras.metrics.get(name)
    except ValueError as error:
        words = ["accuracy", *NAMES, *map(_snake, NAMES)]
        near = difflib.get_close_matches(name, words, n=1, cutoff=0.4)
        hint = f"is {near[0]!r} meant?" if near else "keras.metrics lists them."
        raise ValueError(f"{error}; {hint}") from error


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
