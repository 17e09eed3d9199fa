"""The base of the estimators: parameters, training, raw outputs, files and copies."""

from __future__ import annotations

import contextlib
import copy
import os
from typing import Any, Self

import keras
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_is_fitted

from skimgcv._models.routing import (
    check_routed_name,
    has_prefix,
    may_be_routed,
    parameter_names,
    passes_on,
    public_parameters,
)
from skimgcv._models.targets import Kind
from skimgcv._parameters import CONSTRAINTS, check_parameter_names, check_parameters
from skimgcv._persistence.export import deployable_model
from skimgcv._persistence.pickling import packed, unpacked
from skimgcv._persistence.saving import load_estimator, save_estimator
from skimgcv._prediction import predict_images
from skimgcv._runtime.links import DocumentationLink
from skimgcv._runtime.seeding import check_seed
from skimgcv._runtime.switches import applied, current, note_main_thread
from skimgcv._runtime.workers import share_gpus
from skimgcv._training.adopting import adopt
from skimgcv._training.fitting import FitCall, run_fit
from skimgcv._training.tasks import CallbackSupportMixin, fit_task
from skimgcv._training.training_data import check_training_data

_KERAS_PARAMETERS = ("model", "optimizer", "loss", "metrics")


class AugmentedKerasEstimator(CallbackSupportMixin, DocumentationLink, BaseEstimator):
    """A Keras model that augments only inside ``fit``, whatever its targets are.

    The public estimators say what their parameters and methods are.
    """

    _parameter_constraints = CONSTRAINTS
    _file_kind: str
    """The kind of the files of ``save``."""

    # Values of parameters for classes, if y has none.
    class_augmenters: Any = None
    sampling_strategy: Any = None
    class_weight: Any = None

    @property
    def _target_kind(self) -> Kind:
        raise NotImplementedError

    # Keras' global settings in the process that pickled this, if they differ from those here.
    _switches: dict[str, Any] | None = None

    def __init__(
        self,
        model: Any,
        *,
        augmenter: Any = None,
        validation_augmenter: Any = None,
        validation_split: float = 0.0,
        tta_rounds: int = 0,
        tta_augmenter: Any = None,
        image_shape: tuple[int, ...] | None = None,
        augmentation_views: int | None = None,
        feature_cache: str | os.PathLike[str] | int | None = "memory",
        optimizer: Any = "adam",
        loss: Any = "auto",
        metrics: Any = None,
        batch_size: int | None = 32,
        epochs: int = 1,
        fine_tune_epochs: int = 0,
        fine_tune_layers: Any = "all",
        fine_tune_learning_rate: float = 1e-5,
        shuffle: bool = True,
        callbacks: Any = None,
        verbose: int = 0,
        random_state: Any = None,
        warm_start: bool = False,
        **routed: Any,
    ) -> None:
        self.model = model
        self.augmenter = augmenter
        self.validation_augmenter = validation_augmenter
        self.validation_split = validation_split
        self.tta_rounds = tta_rounds
        self.tta_augmenter = tta_augmenter
        self.image_shape = image_shape
        self.augmentation_views = augmentation_views
        self.feature_cache = feature_cache
        self.optimizer = optimizer
        self.loss = loss
        self.metrics = metrics
        self.batch_size = batch_size
        self.epochs = epochs
        self.fine_tune_epochs = fine_tune_epochs
        self.fine_tune_layers = fine_tune_layers
        self.fine_tune_learning_rate = fine_tune_learning_rate
        self.shuffle = shuffle
        self.callbacks = callbacks
        self.verbose = verbose
        self.random_state = random_state
        self.warm_start = warm_start
        for name in routed:
            check_routed_name(type(self), name)
        self.__dict__.update(routed)

    # -- parameters ---------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, routed ones included.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include those of the augmenters.

        Returns
        -------
        dict of str to object
        """
        note_main_thread()
        routed = self._routed_names() if passes_on(type(self)) else ()
        return {**super().get_params(deep), **{n: getattr(self, n) for n in routed}}

    def set_params(self, **params: Any) -> Self:
        """Set parameters: own ones, an augmenter's, or routed ones.

        Parameters
        ----------
        **params : dict
            Such as ``epochs=5``, ``augmenter__rotation_range=20``,
            ``model__filters=32``.

        Returns
        -------
        self
        """
        own = self._routed_names()
        takes_routed = passes_on(type(self))
        routed = [n for n in params if takes_routed and (n in own or has_prefix(n))]
        for name in routed:
            setattr(self, name, params.pop(name))
        for name in params:
            owner, nested, _ = name.partition("__")
            own_parameter = nested and owner in type(self)._get_param_names()
            if own_parameter and params.get(owner, getattr(self, owner)) is None:
                raise ValueError(f"{name} needs an augmenter to set it on; {owner} is None.")
        check_parameter_names(self, params)
        super().set_params(**params)
        return self

    def _routed_names(self) -> list[str]:
        # The names in **routed. As in scikit-learn, their values are not checked yet.
        own = {*public_parameters(type(self)), *type(self)._get_param_names()}
        return [n for n in vars(self) if n not in own and may_be_routed(type(self), n)]

    def _all_parameters(self) -> dict[str, Any]:
        # Also those that a subclass fixes, which are not among its own.
        own = {*public_parameters(type(self)), *type(self)._get_param_names()}
        return {name: getattr(self, name) for name in sorted({*own, *self._routed_names()})}

    def _own_parameters(self) -> list[str]:
        # Only those of a subclass.
        public = public_parameters(type(self))
        return [n for n in type(self)._get_param_names() if n not in public]

    @classmethod
    def _get_param_names(cls) -> list[str]:
        return parameter_names(cls)

    # -- training -----------------------------------------------------------

    def _train(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        resume: bool,
        one_epoch: bool = False,
        sample_weight: ArrayLike | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        **arguments: Any,
    ) -> Self:
        arguments["sample_weight"] = sample_weight
        with applied(self._switches, training=True):
            self._train_here(X, y, resume, one_epoch, checkpoint_dir, arguments)
        return self

    def _train_here(
        self,
        X: ArrayLike,
        y: ArrayLike,
        resume: bool,
        one_epoch: bool,
        checkpoint_dir: str | os.PathLike[str] | None,
        arguments: dict[str, Any],
    ) -> None:
        check_parameters(self, resume=resume)
        seed = self._seed if resume else check_seed(self.random_state)
        data = check_training_data(self, X, y, seed=seed, resume=resume, **arguments)
        weight = arguments["sample_weight"]
        tasks = contextlib.nullcontext() if one_epoch else fit_task(self, X, y, weight)
        with tasks as task:
            call = FitCall(seed, resume, one_epoch, checkpoint_dir)
            fitted = run_fit(self, data, call, task)
            # Last, and all at once: a fit that fails does not change the estimator.
            for name in [n for n in vars(self) if n.endswith("_") and not has_prefix(n)]:
                delattr(self, name)
            self.__dict__.update(fitted)
            if task:
                task.end()

    def _adopt(self, meta: dict[str, Any], **fitted: Any) -> Self:
        """Use the parameter ``model`` as the fitted model."""
        check_parameters(self)
        self.__dict__.update(adopt(self, meta), **fitted)
        return self

    # -- evaluation ---------------------------------------------------------

    def _predict_outputs(self, X: ArrayLike) -> np.ndarray:
        check_is_fitted(self, "model_")
        check_scalar(self.tta_rounds, "tta_rounds", (int, np.integer), min_val=0)
        with applied(self._switches):
            return predict_images(self, X)

    # -- files and copies ---------------------------------------------------

    def to_keras(self) -> keras.Model:
        """Return one Keras model from raw images to predictions, to be deployed.

        Standardisation is included as layers; the model needs neither skimgcv nor scikit-learn.
        ``save`` it as any Keras model, or call ``export("model.onnx", format="onnx")`` after ``pip
        install "skimgcv[onnx]"``.

        Returns
        -------
        keras.Model
            Its input is that of ``predict``: images (n, height, width, channels), or rows (n,
            features) if the estimator has an ``image_shape``. Its outputs are probabilities in the
            order of ``classes_``, or numbers. It computes in float32, so they agree with
            ``predict_proba`` to about six digits. It shares nothing with the estimator.

        Raises
        ------
        ValueError
            If a step does not consist of Keras' operations, such as a ``preprocessing_function``
            that is not one of ``keras.applications``.
        sklearn.exceptions.NotFittedError

        Examples
        --------
        >>> import keras, numpy as np
        >>> from skimgcv import AugmentedKerasClassifier, ImageAugmenter
        >>> def build(meta):
        ...     return keras.Sequential([
        ...         keras.layers.Input(meta["image_shape_"]),
        ...         keras.layers.Flatten(),
        ...         keras.layers.Dense(2, activation="softmax"),
        ...     ])
        >>> X = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 1)).astype("uint8")
        >>> clf = AugmentedKerasClassifier(
        ...     build, augmenter=ImageAugmenter(rotation_range=9, rescale=1 / 255))
        >>> model = clf.fit(X, [0, 1] * 4).to_keras()
        >>> np.allclose(model.predict(X, verbose=0), clf.predict_proba(X), atol=1e-5)
        True
        """
        check_is_fitted(self, "model_")
        return deployable_model(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator into one file of plain data without code.

        The file contains the model with its weights and the optimizer's state, so ``partial_fit``
        continues with the same bits. It refers to code, such as the builder, callbacks and
        functions, by name only.

        Parameters
        ----------
        path : path-like
            An older file is replaced after the new one is complete on the disk.

        Raises
        ------
        ValueError
            If the model or an augmenter has a part that only code could restore.
        sklearn.exceptions.NotFittedError

        Notes
        -----
        The file is a ZIP archive of JSON documents, arrays (``.npy``) and a manifest with
        a SHA-256 of each. The model's config is Keras' own. Its weights are in arrays. For a
        ``.keras`` file, with weights in HDF5, call ``model_.save``.

        The file contains the dtype policies of layers. Keras' global settings are those of the
        process that loads it.

        ``skops.io`` saves estimators in a similar way. For this estimator its files contain the
        same as a pickle: the reader must trust ``skimgcv.SKOPS_TYPES``, one of which lets Keras
        load the model with its lambdas. These files have no checksums.
        """
        check_is_fitted(self, "model_")
        save_estimator(self, path)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], custom_objects: dict[str, Any] | None = None
    ) -> Self:
        """Read an estimator from a file that ``save`` wrote; no code of the file is run.

        Parameters
        ----------
        path : path-like
        custom_objects : dict of str to object, optional
            The objects that the file refers to. Your own layers, losses and functions have their
            own names, as in Keras. Other objects, such as an Albumentations transform, have the
            name of their parameter. Only ``fit`` needs the builder and callbacks, and you can also
            set them later.

        Returns
        -------
        AugmentedKerasClassifier or AugmentedKerasRegressor
            An estimator of this class. Its predictions equal those of the saved one, bit for bit.

        Raises
        ------
        skimgcv.exceptions.SavedFileError
            If the file is damaged or has another version, or if it refers to anything except
            ``custom_objects`` and the parts of Keras that only compute.

        Examples
        --------
        >>> import os, tempfile
        >>> import keras, numpy as np
        >>> from skimgcv import AugmentedKerasClassifier
        >>> def build(meta):
        ...     return keras.Sequential([
        ...         keras.layers.Input(meta["image_shape_"]),
        ...         keras.layers.Flatten(),
        ...         keras.layers.Dense(2, activation="softmax"),
        ...     ])
        >>> X = np.random.default_rng(0).random((8, 4, 4, 1))
        >>> clf = AugmentedKerasClassifier(build, random_state=0).fit(X, [0, 1] * 4)
        >>> path = os.path.join(tempfile.mkdtemp(), "classifier.skimgcv")
        >>> clf.save(path)
        >>> loaded = AugmentedKerasClassifier.load(path, custom_objects={"build": build})
        >>> bool((loaded.predict_proba(X) == clf.predict_proba(X)).all())
        True
        """
        return load_estimator(cls, path, custom_objects or {})

    def __copy__(self) -> Self:
        # A shallow copy. By default the model would go through a pickle.
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        # Callbacks contain the model, open files and other objects of a run.
        state.pop("callbacks_", None)
        # The process that unpickles it may have other global settings of Keras.
        state["_switches"] = self._switches or current()
        return state | {n: packed(state[n]) for n in (*_KERAS_PARAMETERS, "model_") if n in state}

    def __setstate__(self, state: dict[str, Any]) -> None:
        share_gpus()  # before a model among the parameters touches one
        switches = state.get("_switches")
        with applied(switches):
            super().__setstate__({name: unpacked(value) for name, value in state.items()})
        if switches == current():
            del self._switches

    def __sklearn_clone__(self) -> Self:
        # Keras objects are shared: no fit changes them, and Keras cannot copy all of them.
        own = type(self)._get_param_names()  # a subclass may fix some of them
        shared = {n: getattr(self, n) for n in _KERAS_PARAMETERS if n in own}
        shell = copy.copy(self).set_params(**dict.fromkeys(shared))
        other = BaseEstimator.__sklearn_clone__(shell).set_params(**shared)
        if self._switches is not None:
            other._switches = self._switches
        return other

    def __sklearn_is_fitted__(self) -> bool:
        # Without this, scikit-learn would take model__lambda_ for a fitted attribute.
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Any:
        note_main_thread()
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags
