"""Names of parameters: which are routed, and whether they lead to an object."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras

PREFIXES = ("model", "optimizer", "loss", "metrics", "callbacks", "compile", "fit", "predict")
"""The prefixes of ``prefix__name``."""

FIT_OPTIONS = {"batch_size", "callbacks", "epochs", "initial_epoch", "validation_freq", "verbose"}
PREDICT_OPTIONS = {"batch_size", "callbacks", "verbose"}
BUILDER_EXTRAS = ("meta", "compile_kwargs", "params")
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def has_prefix(name: str) -> bool:
    """Whether a parameter's name has the prefix of a part, as ``model__units`` has.

    Examples
    --------
    >>> [has_prefix(name) for name in ("model__units", "model__lambda_", "units", "model_")]
    [True, True, False, False]
    """
    prefix, _, rest = name.partition("__")
    return bool(rest) and prefix in PREFIXES


def may_be_routed(kind: type, name: str) -> bool:
    """Whether an estimator may have an additional parameter of this name.

    A name without a prefix must not look like a fitted or private attribute, or hide a method.
    """
    return has_prefix(name) or (name.strip("_") == name and not hasattr(kind, name))


def check_routed_name(kind: type, name: str) -> None:
    """Refuse a name that a parameter of the builder cannot have without a prefix.

    Raises
    ------
    TypeError
        As Python does for an argument that a function does not take.
    """
    if not may_be_routed(kind, name):
        why = (
            f"it is an attribute of {kind.__name__}"
            if hasattr(kind, name)
            else "names that begin or end with _ are those of other attributes"
        )
        raise TypeError(
            f"{kind.__name__} cannot take a parameter {name!r}, since {why}. For a parameter of "
            f"the builder write model__{name}=..."
        )


def parameter_names(kind: type) -> list[str]:
    """Return an estimator's own parameters, with those of its base classes.

    scikit-learn would see only the parameters that the subclass's ``__init__`` names, and a clone
    would lack the others.
    """
    names: set[str] = set()
    for parameters in _signatures(kind):
        names |= {p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    return sorted(names)


def public_parameters(kind: type) -> frozenset[str]:
    """Return the parameters of this package's estimator that a class is, or inherits from."""
    own = next(base for base in kind.__mro__ if _is_ours(base) and "__init__" in vars(base))
    return frozenset(parameter_names(own))


def passes_on(kind: type) -> bool:
    """Whether an estimator's ``__init__`` accepts other names, which are routed."""
    return all(any(p.kind is p.VAR_KEYWORD for p in ps) for ps in _signatures(kind))


def _signatures(kind: type) -> Iterator[list[inspect.Parameter]]:
    for base in kind.__mro__:
        if "__init__" in vars(base):
            parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
            yield parameters
            # A class that passes nothing on has only these parameters.
            if not any(p.kind is p.VAR_KEYWORD for p in parameters) or _is_ours(base):
                return


def _is_ours(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "skimgcv"


def nearest(name: str, known: Iterable[str], optimizer: Any = None) -> str:
    """Return a question whether a similar name is meant, or an empty string.

    Parameters
    ----------
    name : str
    known : iterable of str
        Names that may be meant.
    optimizer : str, type or keras.optimizers.Optimizer, optional
        Its arguments may be meant, too, as ``optimizer__...``.

    Examples
    --------
    >>> nearest("rotation", ["rotation_range", "zoom_range"])
    "; is 'rotation_range' meant?"
    >>> nearest("lr", ["epochs"], "adam")
    "; is 'optimizer__learning_rate' meant?"
    """
    known = list(known)
    name = _SHORT.get(name, name)
    near = [n for n in known if n.startswith(f"{name}_")] or difflib.get_close_matches(name, known)
    if name not in known and optimizer is not None and name in optimizer_arguments(optimizer):
        near = [f"optimizer__{name}"]
    return f"; is {near[0]!r} meant?" if near else ""


def names_with_prefix(estimator: Any) -> list[str]:
    """Return the names that lead to parts of an estimator, such as ``model__units``.

    They include those of augmenters (``augmenter__shear_range``), which only ``set_params`` takes.
    """
    parameters = estimator.get_params()
    builder = parameters.get("model")
    parts: dict[str, Iterable[str]] = {
        "model": _arguments(builder) if callable(builder) else (),
        "optimizer": optimizer_arguments(parameters.get("optimizer", "adam")),
        "compile": _arguments(keras.Model.compile),
        "fit": FIT_OPTIONS,
        "predict": PREDICT_OPTIONS,
    }
    names = {f"{part}__{name}" for part, of_part in parts.items() for name in of_part}
    return sorted(names | {name for name in parameters if "__" in name})


def _arguments(function: Any) -> list[str]:
    try:
        arguments = inspect.signature(function).parameters.values()
    except ValueError:  # Python does not know the signature of some built-in functions
        return []
    extras = (*BUILDER_EXTRAS, "self", "optimizer", "loss", "metrics")
    return [a.name for a in arguments if a.kind in _BY_NAME and a.name not in extras]


def optimizer_arguments(optimizer: Any) -> list[str]:
    """Return the names of the arguments of an optimizer's class."""
    kind = optimizer
    if isinstance(optimizer, str):
        try:
            kind = type(keras.optimizers.get(optimizer))
        except ValueError:
            return []
    kind = kind if inspect.isclass(kind) else type(kind)
    return [n for n in inspect.signature(kind).parameters if n not in ("name", "kwargs")]


_SHORT = {"lr": "learning_rate", "decay": "weight_decay"}
"""Keras' old names."""


def arrives(name: str, parameters: Mapping[str, Any]) -> bool:
    """Whether a parameter's name leads to an object, which takes or refuses the parameter.

    SciKeras drops a name that leads to nothing, such as ``callbacks__2__patience`` with two
    callbacks.

    Parameters
    ----------
    name : str
    parameters : mapping of str to object
        All parameters of the estimator.

    Examples
    --------
    >>> arrives("metrics__1__name", {"metrics": ["accuracy"]})
    False
    """
    prefix, _, path = name.partition("__")
    if prefix == "optimizer":
        return "__" not in path
    if prefix in ("fit", "predict"):
        option, nested, path = path.partition("__")
        if option != "callbacks" or not nested:
            return not nested
        prefix = f"{prefix}__callbacks"
    elif prefix not in ("loss", "metrics", "callbacks"):
        return True
    return _is_there(prefix, parameters.get(prefix), path, parameters)


def _is_there(at: str, value: Any, path: str, parameters: Mapping[str, Any]) -> bool:
    if value is None:
        return False
    key, nested, rest = path.partition("__")
    if isinstance(value, (list, tuple)):
        inside = {str(number): item for number, item in enumerate(value)}
    elif isinstance(value, Mapping):
        inside = {str(name): item for name, item in value.items()}
    else:
        # A class, whose arguments may be classes, too.
        inside = {key: parameters[f"{at}__{key}"]} if f"{at}__{key}" in parameters else {}
    if not nested:
        return True  # for all items
    return key in inside and _is_there(f"{at}__{key}", inside[key], rest, parameters)


def own_builder(estimator: Any) -> Any:
    """Return the method that builds a subclass's model, as in SciKeras, or None."""
    return getattr(estimator, "_keras_build_fn", None)


def has_parameter(function: Any, name: str) -> bool:
    """Whether a function has a parameter that can be passed by this name."""
    parameter = inspect.signature(function).parameters.get(name)
    return parameter is not None and parameter.kind in _BY_NAME
