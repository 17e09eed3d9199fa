"""y for the model's loss, and the model's outputs as predictions, for each kind of y."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any, ClassVar, Literal

import keras
import numpy as np

from skimgcv._models.outputs import (
    ends_with_sigmoid,
    ends_with_softmax,
    name_of_loss,
    outputs_are,
    outputs_logits,
    width_of,
)

Kind = Literal["classes", "labels", "numbers"]
"""The kind of y: one class for each row, several labels, or numbers."""


@dataclass(frozen=True)
class ClassTargets:
    """The targets and outputs of a model of classes.

    Attributes
    ----------
    n_classes : int
    one_unit : bool
        The model has one output, for the second of two classes.
    sparse : bool
        The loss takes class numbers, not one-hot rows.
    logits : bool
        The outputs are scores of either sign, not probabilities.
    """

    kind: ClassVar[Kind] = "classes"
    n_classes: int
    one_unit: bool
    sparse: bool
    logits: bool

    @classmethod
    def of(cls, model: keras.Model, loss: Any, meta: Mapping[str, Any]) -> ClassTargets:
        """Make them from a model's output and its loss; refuse a loss that needs more outputs."""
        n_classes = meta["n_classes_"]
        one_unit = units_of(model, n_classes) == 1
        if one_unit and (ends_with_softmax(model) or "categorical" in name_of_loss(loss)):
            raise ValueError(
                "A softmax, or a categorical loss, needs an output for each class, and the model "
                "has one. Let the builder read meta['n_classes_'], or end the model with "
                "Dense(1, activation='sigmoid') and use loss='auto'."
            )
        return cls(
            n_classes=n_classes,
            one_unit=one_unit,
            sparse=not one_unit and _is_sparse(loss, n_classes),
            logits=_are_scores(model, loss, n_classes),
        )

    @property
    def n_outputs(self) -> int:
        return 1 if self.one_unit else self.n_classes

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Turn class numbers (n,) into (n, 1) or (n, n_classes) float32 for the loss."""
        if self.one_unit:
            return y.astype(np.float32).reshape(-1, 1)
        if self.sparse:
            return y.astype(np.int32).reshape(-1, 1)
        return np.eye(self.n_classes, dtype=np.float32)[y]

    def predictions(self, outputs: np.ndarray) -> np.ndarray:
        """Turn the model's outputs into float64 rows that sum to 1."""
        outputs = np.asarray(outputs, dtype=np.float64).reshape(len(outputs), -1)
        if self.one_unit:
            second = _sigmoid(outputs) if self.logits else outputs.clip(0, 1)
            return np.hstack([1 - second, second])
        if self.logits:
            outputs = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        outputs = outputs.clip(0)
        total = outputs.sum(axis=1, keepdims=True)
        # Independent sigmoids may all be 0. Then all classes are equally likely. NaN stays NaN.
        uniform = np.full_like(outputs, 1 / self.n_classes)
        return np.divide(outputs, total, out=uniform, where=total != 0)


@dataclass(frozen=True)
class LabelTargets:
    """The targets and outputs of a model of several labels.

    Attributes
    ----------
    n_labels : int
    logits : bool
        The outputs are scores of either sign, not probabilities.
    by_label : bool
        The loss gives a value for each label, so that each label can have its own weight.
    """

    kind: ClassVar[Kind] = "labels"
    sparse: ClassVar[bool] = False
    n_labels: int
    logits: bool
    by_label: bool

    @classmethod
    def of(cls, model: keras.Model, loss: Any, meta: Mapping[str, Any]) -> LabelTargets:
        """Make them from a model's output and its loss."""
        n_labels = width_of(model, meta["n_classes_"], "labels")
        if ends_with_softmax(model) or "categorical" in name_of_loss(loss):
            raise ValueError(
                "multilabel=True needs an independent probability for each label, and with a "
                "softmax or a categorical loss they sum to 1; end the model with "
                "activation='sigmoid', and use loss='auto'."
            )
        outputs = outputs_are(model, loss)
        signed = outputs == "scores" and _takes_any_number(loss, n_labels)
        return cls(n_labels, outputs == "logits" or signed, _axis_of(loss) == ())

    @property
    def n_outputs(self) -> int:
        return self.n_labels

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Turn 0 and 1 (n, n_labels) into float32 for the loss."""
        return y.astype(np.float32)

    def predictions(self, outputs: np.ndarray) -> np.ndarray:
        """Turn the model's outputs into float64 probabilities of each label."""
        outputs = np.asarray(outputs, dtype=np.float64).reshape(len(outputs), -1)
        return _sigmoid(outputs) if self.logits else outputs.clip(0, 1)


@dataclass(frozen=True)
class NumberTargets:
    """The targets and outputs of a model of numbers.

    Attributes
    ----------
    n_outputs : int
    flat : bool
        y and predictions have one dimension.
    """

    kind: ClassVar[Kind] = "numbers"
    sparse: ClassVar[bool] = False
    logits: ClassVar[bool] = False
    n_outputs: int
    flat: bool

    @classmethod
    def of(cls, model: keras.Model, loss: Any, meta: Mapping[str, Any]) -> NumberTargets:
        """Make them from a model's output; refuse a loss for classes."""
        n_outputs = width_of(model, meta["n_outputs_"], "numbers a row")
        if "categorical" in name_of_loss(loss):
            raise ValueError(
                f"The loss {name_of_loss(loss)} is for classes, and y has numbers; use "
                "loss='auto', which is the mean squared error, or an AugmentedKerasClassifier."
            )
        if n_outputs == 1 and ends_with_softmax(model):
            raise ValueError(
                "A softmax of one output is always 1; end the model with a layer without "
                "activation."
            )
        return cls(n_outputs, meta["y_ndim_"] == 1)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one row of y."""
        return () if self.flat else (self.n_outputs,)

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Turn numbers (n,) or (n, n_outputs) into float32 columns for the loss."""
        return y.reshape(len(y), -1).astype(np.float32)

    def predictions(self, outputs: np.ndarray) -> np.ndarray:
        """Turn the model's outputs into float64, of y's shape."""
        outputs = np.asarray(outputs, dtype=np.float64).reshape(len(outputs), -1)
        return outputs[:, 0] if self.flat else outputs


Targets = ClassTargets | LabelTargets | NumberTargets
TARGETS: dict[Kind, Any] = {t.kind: t for t in (ClassTargets, LabelTargets, NumberTargets)}


def auto_loss(
    model: keras.Model, kind: Kind, meta: Mapping[str, Any], *, one_hot: bool
) -> keras.losses.Loss:
    """Choose the loss that fits y and the model's output.

    Parameters
    ----------
    one_hot : bool
        Whether one-hot rows are needed, because targets are mixed or a metric needs them.

    Raises
    ------
    ValueError
        If the number of outputs does not fit the classes, or if it is unknown whether the outputs
        are probabilities.
    """
    if kind == "numbers":
        return keras.losses.MeanSquaredError()
    logits = outputs_logits(model)
    one_unit = units_of(model, meta["n_classes_"]) == 1 if kind == "classes" else False
    if kind == "labels" or one_unit or ends_with_sigmoid(model):
        return keras.losses.BinaryCrossentropy(from_logits=logits)
    if one_hot:
        return keras.losses.CategoricalCrossentropy(from_logits=logits)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=logits)


_BY_LABEL: dict[str, Any] = {
    "binary_crossentropy": keras.losses.BinaryCrossentropy,
    "binary_focal_crossentropy": keras.losses.BinaryFocalCrossentropy,
}


def by_label(loss: Any) -> keras.losses.Loss:
    """Return a loss that gives a value for each label instead of their mean.

    The mean over all values is the same. Each row and label can have a weight.

    Raises
    ------
    ValueError
        If the loss is not known to be a mean over labels.
    """
    made = _BY_LABEL[loss]() if isinstance(loss, str) and loss in _BY_LABEL else loss
    if type(made) in _BY_LABEL.values() and made.reduction == "sum_over_batch_size":
        return type(made).from_config({**made.get_config(), "axis": ()})  # NumPy's: over no axis
    raise ValueError(
        "class_weight with multilabel=True needs a loss that is a mean over labels: "
        f"loss='auto', {', '.join(map(repr, _BY_LABEL))}; it is {name_of_loss(loss)}."
    )


def encode_weights(targets: Targets, weights: np.ndarray | None) -> np.ndarray | None:
    """Repeat the weight of a row for each label, if the loss has a value for each."""
    if weights is None or weights.ndim == 2 or not getattr(targets, "by_label", False):
        return weights
    return np.repeat(weights[:, np.newaxis], targets.n_outputs, axis=1)


def _axis_of(loss: Any) -> Any:
    if type(loss) not in _BY_LABEL.values():
        return None
    axis = loss.get_config()["axis"]
    # A file has it as a list.
    return tuple(axis) if isinstance(axis, (list, tuple)) else axis


def check_loss(loss: Any, optimizer: Any) -> None:
    """Refuse a missing loss or optimizer, and several losses."""
    if not loss or not optimizer:
        raise ValueError(
            "A model needs a loss and an optimizer; pass loss='auto' or a Keras loss to the "
            "estimator, or give both to compile() in the builder."
        )
    if isinstance(loss, (list, dict)):
        raise ValueError("The model must have one output and one loss, not several.")


def units_of(model: keras.Model, n_classes: int) -> int:
    """Return the number of outputs of a model of classes."""
    return width_of(model, n_classes, "classes", one_unit=n_classes == 2)


def _is_sparse(loss: Any, n_classes: int) -> bool:
    """Whether a loss takes class numbers of shape (n, 1), and not one-hot rows."""
    by_name = "sparse" in name_of_loss(loss)
    if not _is_own(loss):
        return by_name
    # Many functions run on both, so the user's own must prefer right predictions to wrong ones.
    numbers, rows = np.arange(n_classes, dtype="int32"), np.eye(n_classes, dtype="float32")
    prefers_numbers, prefers_rows = (
        _prefers_the_right(loss, targets) for targets in (numbers[:, None], rows)
    )
    sparse = prefers_numbers
    if prefers_numbers == prefers_rows:
        sparse = by_name or _values(loss, rows, np.full((n_classes,) * 2, 1 / n_classes)) is None
    n = n_classes + 2
    values = _values(loss, np.zeros((n, 1), "int32"), np.full((n, n_classes), 1 / n_classes))
    if sparse and values is not None and values.shape[:2] == (n, n):
        raise ValueError(
            f"The loss {name_of_loss(loss)} takes class numbers of shape (n,), and gets them with "
            "shape (n, 1): it would compare each image with the labels of all others. Let it "
            "begin with y_true = keras.ops.squeeze(y_true, axis=-1)."
        )
    return sparse


def _prefers_the_right(loss: Any, targets: np.ndarray) -> bool:
    """Whether a loss is smaller if the likeliest class is the right one, for the first classes."""
    n_classes = len(targets)
    # All of many classes would take seconds in each fit.
    for row, target in enumerate(targets[:4]):
        right = np.full(n_classes, 0.1 / n_classes)
        right[row] = 0.9
        costs = [
            _values(loss, np.stack([target] * 2), np.stack([predicted] * 2))
            for predicted in (right, np.roll(right, 1))
        ]
        right_cost, wrong_cost = (np.inf if c is None else np.mean(c) for c in costs)
        if not right_cost < wrong_cost:
            return False
    return True


def _values(loss: Any, targets: np.ndarray, predicted: np.ndarray) -> np.ndarray | None:
    """Return the values of the user's own loss, or None if it fails."""
    given = (keras.ops.convert_to_tensor(a) for a in (targets, predicted.astype("float32")))
    try:
        return np.asarray(keras.ops.convert_to_numpy(loss(*given)))
    except Exception:
        return None


def _is_own(loss: Any) -> bool:
    """Whether a loss is the user's own."""
    own = loss if isinstance(loss, FunctionType) else type(loss)
    return not isinstance(loss, str) and own.__module__.partition(".")[0] != "keras"


def _are_scores(model: keras.Model, loss: Any, n_classes: int) -> bool:
    outputs = outputs_are(model, loss)
    if outputs != "scores":
        return outputs == "logits"
    # For one output that is fitted to 0 and 1 the classes divide at 0.5; for a hinge, at 0.
    return units_of(model, n_classes) > 1 or _takes_any_number(loss, 1)


def _takes_any_number(loss: Any, n_outputs: int) -> bool:
    """Whether a loss of 0 and 1 takes scores that divide at 0: a hinge, or one's own of logits."""
    if "hinge" in name_of_loss(loss):
        return True
    if not _is_own(loss):
        return False
    ones = np.ones((2, n_outputs), "float32")
    sure, surer = (_values(loss, ones, score * ones) for score in (1, 8))
    if sure is None or surer is None:
        return False
    return bool(np.mean(surer) < np.mean(sure))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    # The form that cannot overflow.
    return 0.5 * (1 + np.tanh(0.5 * x))
