"""Building, compiling and routing parameters, as SciKeras does it."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import keras

from skimgcv._models.copies import check_callback, copy_callbacks, fresh_copy, unshared
from skimgcv._models.metrics import check_names, named, need_rows, right_metrics
from skimgcv._models.outputs import check_activation, ends_with_sigmoid, has_graph
from skimgcv._models.routing import (
    BUILDER_EXTRAS,
    FIT_OPTIONS,
    PREDICT_OPTIONS,
    PREFIXES,
    arrives,
    has_parameter,
    has_prefix,
    names_with_prefix,
    nearest,
    optimizer_arguments,
    own_builder,
)
from skimgcv._models.targets import TARGETS, Targets, auto_loss, by_label, check_loss, units_of
from skimgcv._runtime.keras_internals import compile_arguments, metric_names_begin_anew
from skimgcv._runtime.scikeras_internals import SciKerasHooks

_BATCH_SIZE = 32
"""Keras' meaning of None, too."""

_SCIKERAS_HOOKS = {
    "target_encoder": "pass y as labels, and name a loss that takes class numbers or one-hot rows",
    "feature_encoder": "put a transformer before the classifier in a Pipeline",
    "dataset_transformer": "use class_weight, sample_weight, sampling_strategy or an augmenter",
    "scorer": "override score, or pass scoring=... to scikit-learn's tools",
    "initialize": "call partial_fit, or load weights in the builder",
}
"""Methods that subclasses of SciKeras override, and what to do instead."""


class ModelFactory(SciKerasHooks):
    """SciKeras' wrapper, for one fit of an estimator; scikit-learn never sees it.

    Parameters
    ----------
    estimator : AugmentedKerasClassifier
        The estimator whose parameters to use.
    meta : dict
        What a builder gets as ``meta``: ``n_classes_``, ``X_shape_`` and so on.
    one_hot : bool
        Whether the targets are mixtures, for ``loss="auto"``.
    weighs_labels : bool
        Whether each label of a row has a weight of its own, so that the loss must give a
        value for each.
    """

    def __init__(
        self,
        estimator: Any,
        meta: dict[str, Any],
        *,
        one_hot: bool = False,
        weighs_labels: bool = False,
    ) -> None:
        super().__init__(estimator._all_parameters(), meta)
        self._estimator = estimator
        self._weighs_labels = weighs_labels
        self.compiles = False
        """Whether the builder did not compile the model, so that this class does."""
        self._use_own_builder()
        self._one_hot = one_hot
        self._is_auto = isinstance(self.loss, str) and self.loss == "auto"
        if self._is_auto:
            self.loss: Any
            # A placeholder until there is a model that decides the loss.
            self.loss = keras.losses.BinaryCrossentropy(name="auto")

    @property
    def __name__(self) -> str:
        return type(self._estimator).__name__

    def _use_own_builder(self) -> None:
        """Use a subclass's ``_keras_build_fn`` as the builder, as SciKeras does."""
        for hook, instead in _SCIKERAS_HOOKS.items():
            if hasattr(self._estimator, hook):
                raise TypeError(
                    f"{self.__name__} has {hook}, which SciKeras would call and this package "
                    f"does not: {instead}."
                )
        builder = own_builder(self._estimator)
        if builder is None:
            return
        if (model := self._estimator.model) is not None:
            raise ValueError(
                f"{self.__name__} builds by its _keras_build_fn, and model={model!r} would build "
                "too; pass model=None, or leave one of them out."
            )
        self.__dict__["model"] = builder

    def build(self) -> tuple[keras.Model, Targets]:
        """Build and compile a new model; return it with its targets."""
        with metric_names_begin_anew():
            return self._build()

    def _build(self) -> tuple[keras.Model, Targets]:
        model = self.built()
        if not isinstance(model, keras.Model):
            raise TypeError(
                f"The builder must return a keras.Model; {_name(self.model)} returned "
                f"{type(model).__name__}."
            )
        if not has_graph(model):
            # A subclass, or a Sequential without an Input: after this call its output is known.
            model(keras.Input(self.image_shape_))
        elif len(model.inputs) > 1:
            raise ValueError(
                f"The model must have one input, of images {self.image_shape_}; it has "
                f"{len(model.inputs)}. Pass the others as further channels of X, or as columns of "
                "flat rows, and divide X with layers."
            )
        self.compiles = not model.compiled
        return model, self._compile(model)

    def _compile(self, model: keras.Model) -> Targets:
        """Compile a model if its builder did not, or with the loss that "auto" chooses."""
        is_new = not model.compiled
        is_auto = self._is_auto and (is_new or model.loss is self.loss)
        if not (is_auto or is_new or self._takes_compile_kwargs()):
            self._check_no_idle_parameters()
        arguments = self.compile_arguments() if is_new else compile_arguments(model)
        if is_auto:
            arguments["loss"] = self._auto_loss(model, arguments)
        loss = arguments["loss"] if is_new or is_auto else model.loss
        check_loss(loss, arguments["optimizer"] if is_new else model.optimizer)
        mended, targets = self._mended(model, loss, arguments)
        if mended and not is_new and type(model).compile is not keras.Model.compile:
            raise ValueError(
                f"{mended} must stand in place of what {type(model).__name__}.compile() was "
                "called with; give it these."
            )
        if is_new or is_auto or mended:
            model.compile(**arguments | mended)
        return targets

    def _mended(
        self, model: keras.Model, loss: Any, arguments: dict[str, Any]
    ) -> tuple[dict[str, Any], Targets]:
        """Return corrected arguments of ``compile`` in place of wrong ones, and the targets."""
        mended: dict[str, Any] = {}
        if self._weighs_labels:
            if arguments.get("weighted_metrics"):
                raise ValueError(
                    "class_weight with multilabel=True gives each label of a row its own weight, "
                    "which weighted_metrics do not support; pass them as metrics."
                )
            mended["loss"] = loss = by_label(loss)
        kind = TARGETS[self._estimator._target_kind]
        targets: Targets = kind.of(model, loss, self.meta())
        check_activation(model, loss)
        return mended | right_metrics(model, loss, targets, arguments), targets

    def _auto_loss(self, model: keras.Model, arguments: dict[str, Any]) -> keras.losses.Loss:
        kind, meta = self._estimator._target_kind, self.meta()
        one_hot = self._one_hot or (
            kind == "classes"
            and units_of(model, meta["n_classes_"]) > 1
            and not ends_with_sigmoid(model)
            and need_rows(arguments.get("metrics"), arguments.get("weighted_metrics"))
        )
        return auto_loss(model, kind, meta, one_hot=one_hot)

    def compile_again(self, model: keras.Model, *, new_optimizer: bool) -> Targets:
        """Compile a trained model with the current parameters; return its targets.

        Parameters
        ----------
        new_optimizer : bool
            Whether its parameters changed. An optimizer of the same class keeps the momenta and
            the step count.
        """
        with metric_names_begin_anew():
            return self._compile_again(model, new_optimizer)

    def _compile_again(self, model: keras.Model, new_optimizer: bool) -> Targets:
        arguments = self.compile_arguments()
        old = model.optimizer
        if not new_optimizer:
            arguments["optimizer"] = old
        # Without metrics Keras keeps the old ones.
        arguments["metrics"] = arguments["metrics"] or []
        if self._is_auto:
            arguments["loss"] = self._auto_loss(model, arguments)
        check_loss(arguments["loss"], arguments["optimizer"])
        mended, targets = self._mended(model, arguments["loss"], arguments)
        model.compile(**arguments | mended)
        if new_optimizer:
            take_over(old, model.optimizer, model.trainable_variables)
        return targets

    def built(self) -> Any:
        """Call the builder; SciKeras would drop parameters with __ in their own name."""
        builder = self.builder()
        routed = self._estimator._routed_names()
        # A builder gets a subclass's own parameters only if it names them.
        asked = {n for n in self._estimator._own_parameters() if has_parameter(builder, n)}
        plain = {n: getattr(self, n) for n in [*asked, *routed] if not has_prefix(n)}
        prefixed = {
            n.removeprefix("model__"): getattr(self, n) for n in routed if n.startswith("model__")
        }
        arguments = plain | prefixed
        offered = (self.meta, self.compile_arguments, self.get_params)
        for name, make in zip(BUILDER_EXTRAS, offered, strict=True):
            if _takes(builder, name):
                arguments[name] = make()
        return builder(**arguments)

    def builder(self) -> Any:
        """Return a function that builds, for any kind of the parameter ``model``."""
        builder = self.model
        if isinstance(builder, keras.Model):
            return functools.partial(fresh_copy, builder)
        if not callable(builder):
            raise TypeError(
                "model must be a function that builds a keras.Model, or a keras.Model; "
                f"it is {builder!r}."
            )
        self._check_builder_parameters(builder)
        if inspect.isfunction(builder) or isinstance(builder, functools.partial):
            return builder
        # SciKeras takes functions only. This also allows classes and bound methods.
        return functools.partial(builder)

    def compile_arguments(self) -> dict[str, Any]:
        """Return the arguments for ``compile``, without state that fits would share."""
        routed = self._estimator._routed_names()
        for name in routed:
            if name.startswith(("optimizer__", "loss__", "metrics__")):
                self._check_arrives(name)
        check_names(self.metrics)
        try:
            arguments = super().compile_arguments()
        except (TypeError, ValueError) as error:
            if near := self._near_argument(routed):
                raise type(error)(f"{error}{near}") from error
            raise
        if not any(n.startswith("metrics__") and n.endswith("name") for n in routed):
            given = self.metrics if isinstance(self.metrics, (list, dict)) else [self.metrics]
            arguments["metrics"] = named(given, arguments["metrics"])
        arguments = {k: unshared(v) for k, v in arguments.items()}
        for name in ("metrics", "weighted_metrics"):
            # All metrics are for the single output. Keras before 3.14 does not accept its name,
            # and before 3.10 no nested lists.
            if isinstance(arguments.get(name), (dict, list, tuple)):
                arguments[name] = keras.tree.flatten(arguments[name])
        return arguments

    def _near_argument(self, routed: list[str]) -> str:
        """Return a question about a similar parameter of the optimizer, or nothing."""
        known = optimizer_arguments(self.optimizer)
        names = [n.removeprefix("optimizer__") for n in routed if n.startswith("optimizer__")]
        near = [nearest(n, known) for n in names if n not in known]
        return "".join(near).replace("is '", "is 'optimizer__")

    def _check_builder_parameters(self, builder: Any) -> None:
        """Refuse parameters that neither the estimator nor the builder has."""
        for name in self._estimator._routed_names():
            if self._is_auto and name.startswith("loss__"):
                raise ValueError(
                    f"{name} is for a loss, and loss='auto' takes no parameters; pass a "
                    "class, for instance loss=keras.losses.CategoricalCrossentropy."
                )
            prefix, _, rest = name.partition("__")
            if rest and prefix not in PREFIXES:
                owner = getattr(self._estimator, prefix, None)
                nested: dict[str, Any] = getattr(owner, "get_params", dict)()
                raise TypeError(
                    f"{self.__name__} takes no {name!r}{nearest(rest, nested)}; names before __ "
                    f"are {', '.join(PREFIXES)}. Augmenters have set_params."
                )
            wanted = rest if prefix == "model" else name
            to_builder = prefix == "model" if rest else True
            if to_builder and wanted in BUILDER_EXTRAS:
                raise TypeError(
                    f"{name} cannot be set: what a builder gets as {wanted} is made in each fit."
                )
            if to_builder and not _takes(builder, wanted):
                raise TypeError(self._unknown(name, wanted, builder))

    def _check_arrives(self, name: str) -> None:
        if not arrives(name, vars(self)):
            raise ValueError(
                f"{name} has no effect: there is nothing that it could be a parameter of. Set "
                "what its name leads to, or leave it out."
            )

    def _unknown(self, name: str, wanted: str, builder: Any) -> str:
        known = [p for p in inspect.signature(builder).parameters if p not in BUILDER_EXTRAS]
        routed = self._estimator._routed_names()
        own = [n for n in self._estimator.get_params(deep=False) if n not in routed]
        if "__" in name:
            near = nearest(wanted, known)
        else:
            near = nearest(name, [*own, *names_with_prefix(self._estimator)], self.optimizer)
        if "augmenter__" in near:
            near += " Pass it to the augmenter itself, or to set_params."
        return (
            f"Neither {self.__name__} nor the builder {_name(builder)} has a parameter {name!r}"
            f"{near or '.'} The builder takes {', '.join(known) or 'none'}."
        )

    def _takes_compile_kwargs(self) -> bool:
        if isinstance(self.model, keras.Model):
            return False
        return _takes(self.model, "compile_kwargs")

    def _check_no_idle_parameters(self) -> None:
        """Refuse to search a parameter that changes nothing."""
        idle = [
            name
            for name in self.get_params()
            if name.startswith(("optimizer__", "loss__", "metrics__", "compile__"))
        ]
        if idle:
            raise ValueError(
                f"{idle[0]} has no effect: {_name(self.model)} compiles its model without it. "
                "Return the model uncompiled, or take `compile_kwargs` and pass it to compile()."
            )

    def callbacks_of(self, method: str) -> list[keras.callbacks.Callback]:
        """Return this fit's or predict's own copies of the callbacks."""
        for name in self._estimator._routed_names():
            if name.startswith(("callbacks__", f"{method}__")):
                self._check_arrives(name)
        if method == "predict":
            self.callbacks = None  # these are for training
        for name in ("callbacks", f"{method}__callbacks"):
            setattr(self, name, copy_callbacks(getattr(self, name, None)))
        nested = self.made_callbacks(method)
        flat = [c for item in nested for c in (item if isinstance(item, list) else [item])]
        for callback in flat:
            check_callback(callback)
        return flat

    def options_of(self, method: str) -> dict[str, Any]:
        """Return the options routed by ``fit__`` or ``predict__``."""
        allowed = FIT_OPTIONS if method == "fit" else PREDICT_OPTIONS
        prefix = f"{method}__"
        routed = {n: v for n, v in self.get_params().items() if n.startswith(prefix)}
        options = {n.removeprefix(prefix): v for n, v in routed.items() if n.count("__") == 1}
        if unknown := sorted(set(options) - allowed):
            raise ValueError(
                f"{method}__{unknown[0]} is not an option; {method}__ takes "
                f"{', '.join(sorted(allowed))}. The rest are parameters of the estimator."
            )
        options.pop("callbacks", None)
        size = options.get("batch_size", self.batch_size)
        return {**options, "batch_size": _BATCH_SIZE if size is None else size}


def take_over(
    old: keras.optimizers.Optimizer,
    new: keras.optimizers.Optimizer,
    variables: list[keras.Variable],
) -> None:
    """Give an optimizer the state of another one of its class, except the learning rate."""
    if _kinds_of_optimizer(old) != _kinds_of_optimizer(new) or not old.built:
        return
    new.build(variables)
    state = {v.name: v for v in old.variables}
    for variable in new.variables:
        before = state.get(variable.name)
        if variable.name != "learning_rate" and before is not None:
            variable.assign(before)


def _kinds_of_optimizer(optimizer: keras.optimizers.Optimizer | None) -> list[type]:
    # One that scales the loss contains another one.
    if optimizer is None:
        return []
    return [type(optimizer), *_kinds_of_optimizer(getattr(optimizer, "inner_optimizer", None))]


def _takes(function: Any, name: str) -> bool:
    """Whether a function accepts a parameter of this name."""
    parameters = inspect.signature(function).parameters.values()
    return has_parameter(function, name) or any(p.kind is p.VAR_KEYWORD for p in parameters)


def _name(builder: Any) -> str:
    return getattr(builder, "__qualname__", None) or type(builder).__name__
