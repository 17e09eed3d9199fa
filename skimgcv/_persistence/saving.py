"""A fitted estimator in a file of plain data, so that loading it runs no code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from skimgcv._models.routing import may_be_routed, parameter_names
from skimgcv._models.targets import TARGETS
from skimgcv._persistence.archive import read_archive, write_archive
from skimgcv._persistence.encoding import Decoder, Encoder, find_missing, missing
from skimgcv._runtime.versions import version_of
from skimgcv.augment import as_augmenter
from skimgcv.augment._protocol import Augmenter, SteppedAugmenter
from skimgcv.exceptions import SavedFileError, UnsupportedVersionError

_PARAMETERS, _FITTED = "parameters.json", "fitted.json"
# Packages that decide the content of a file, by module name.
_PACKAGES = {
    "skimgcv": "skimgcv",
    "keras": "keras",
    "numpy": "numpy",
    "opencv": "cv2",
    "scikit-learn": "sklearn",
    "tensorflow": "tensorflow",
}
_NEEDED: dict[str, Any] = {
    "n_features_in_": int,
    "image_shape_": tuple,
    "history_": dict,
    "sample_indices_": np.ndarray,
    "validation_indices_": np.ndarray,
    "_targets": dict,
    "_scale": (str, type(None)),
    "_seed": int,
    "_epochs_run": int,
}
"""Fitted attributes and their types, without the model and the augmenter."""

_OF_CLASSES: dict[str, Any] = {"classes_": np.ndarray, "class_weight_": dict}
"""Attributes that a regressor does not have."""

_OPTIONAL: dict[str, Any] = {
    "feature_names_in_": np.ndarray,
    "fine_tune_start_": (int, type(None)),
    "_trained_with": dict,
    "_compiled_here": bool,
}
"""A file of an earlier version may lack these."""

_OTHERS = ("model_", "augmenter_", *_OPTIONAL)
_SAVED = {*_NEEDED, *_OF_CLASSES, *_OTHERS}


def save_estimator(estimator: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator into a file."""
    encoder = Encoder()
    parameters = {
        name: encoder.encode(value, name)
        for name, value in estimator.get_params(deep=False).items()
    }
    fitted = {n: v for n, v in vars(estimator).items() if n in _SAVED}
    fitted["_targets"] = {"kind": estimator._targets.kind, **vars(estimator._targets)}
    record = fitted.pop("_trained_with", None)
    described = {name: encoder.encode(value, name) for name, value in fitted.items()}
    if record is not None:
        described["_compiled_here"] = record["compiled_here"]
        described["_trained_with"] = encoder.encode_each(record["parameters"])
    documents = {_PARAMETERS: parameters, _FITTED: described}
    write_archive(
        path, estimator._file_kind, documents, encoder.arrays, packages=package_versions()
    )


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that decide the content of a file."""
    return {name: version_of(module) for name, module in _PACKAGES.items()}


def load_estimator(
    kind: Any, path: str | os.PathLike[str], custom_objects: Mapping[str, Any]
) -> Any:
    """Read an estimator from a file.

    Raises
    ------
    SavedFileError
    """
    (parameters, fitted), arrays = read_archive(path, kind._file_kind, (_PARAMETERS, _FITTED))
    decoder = Decoder(arrays, custom_objects)
    try:
        _check_names(kind, parameters)
        estimator = kind(**{name: decoder.decode(value) for name, value in parameters.items()})
        values = {name: decoder.decode(value) for name, value in fitted.items()}
        _check_fitted(values)
        targets = dict(values["_targets"])
        # All files of earlier versions are of classifiers.
        values["_targets"] = TARGETS[targets.pop("kind", "classes")](**targets)
        _check_classes(values)
        values["augmenter_"] = _as_fitted_augmenter(values["augmenter_"])
        # Files of earlier versions have the height of an image.
        values["n_features_in_"] = int(np.prod(values["image_shape_"]))
        if "_trained_with" in values:
            compiled_here, made_with = values.pop("_compiled_here"), values["_trained_with"]
            values["_trained_with"] = {"compiled_here": compiled_here, "parameters": made_with}
    except (UnsupportedVersionError, MemoryError):
        raise
    except SavedFileError as error:
        raise SavedFileError(f"{os.fspath(path)}: {error}") from error
    # A forged manifest may lead to errors of many types.
    except Exception as error:
        raise SavedFileError(
            f"{os.fspath(path)}: it lacks a part of an estimator ({error!r})"
        ) from error
    vars(estimator).update(values)
    return estimator


def _check_names(kind: type, parameters: Mapping[str, Any]) -> None:
    own = parameter_names(kind)
    # Other names are routed to the builder, and must not hide an attribute of the class.
    if strange := [n for n in parameters if n not in own and not may_be_routed(kind, n)]:
        raise SavedFileError(f"its parameters are not ours: {strange}")


def _check_fitted(values: Mapping[str, Any]) -> None:
    if strange := sorted((set(values) ^ _SAVED) - {*_OPTIONAL, *_OF_CLASSES}):
        raise SavedFileError(f"its fitted attributes are not ours: {strange}")
    for name, kinds in (_NEEDED | _OF_CLASSES | _OPTIONAL).items():
        if name in values and not isinstance(values[name], kinds):
            raise SavedFileError(f"its {name} is a {type(values[name]).__name__}")
    if not isinstance(values["model_"], keras.Model):
        raise SavedFileError("its model_ is no keras.Model")


def _check_classes(values: Mapping[str, Any]) -> None:
    targets = values["_targets"]
    if targets.kind == "numbers":
        if strange := sorted(_OF_CLASSES.keys() & values):
            raise SavedFileError(f"its fitted attributes are not ours: {strange}")
        return
    n_classes = targets.n_classes if targets.kind == "classes" else targets.n_labels
    if n_classes != len(values["classes_"]) or "class_weight_" not in values:
        raise SavedFileError("its model has another number of outputs than it has classes")


def _as_fitted_augmenter(value: Any) -> Augmenter:
    # Objects that only run in training may be missing.
    unneeded = isinstance(value, SteppedAugmenter) and not value.fixed_steps
    if not unneeded and (reference := find_missing(value)) is not None:
        raise SavedFileError(missing(reference))
    # An object from the caller, such as a transform of Albumentations.
    return value if isinstance(value, Augmenter) else as_augmenter(value)
