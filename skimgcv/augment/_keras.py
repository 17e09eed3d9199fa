"""Keras' own augmentation as augmenters: layers, and subclasses of its generator."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from .._runtime.keras_internals import layers_in, seed_generators
from .._runtime.seeding import seeded
from .._runtime.versions import unsupported
from ._dtypes import from_working
from ._halves import Step, Trial, check_shape
from ._seeded import SeededAugmenter


class GeneratorAugmenter(SeededAugmenter):
    """A subclass of Keras' ImageDataGenerator, whose own methods are called.

    One image after another, like its ``flow``, and with its bugs. The global random numbers are
    seeded for each image, and restored afterwards.

    Parameters
    ----------
    generator : instance of a subclass of ImageDataGenerator
        A copy of it is used.
    fixed : sequence of two bool, optional
        Whether its transform and its standardisation are deterministic. None finds it out.
    """

    def __init__(self, generator: Any, fixed: Sequence[bool] | None = None) -> None:
        self._generator = copy.deepcopy(generator)
        for name in ("mean", "std", "zca_whitening_matrix"):
            setattr(self._generator, name, None)
        super().__init__(fixed)

    @property
    def learns(self) -> bool:
        """Whether it has statistics of the training rows."""
        generator = self._generator
        return bool(
            generator.featurewise_center
            or generator.featurewise_std_normalization
            or generator.zca_whitening
        )

    def fit(self, images: Any) -> GeneratorAugmenter:
        """Let the generator learn its statistics, if it has any. This reads all images at once."""
        if self.learns:
            self._generator.fit(np.asarray(images))
        return super().fit(images)

    def to_config(self) -> dict[str, Any]:
        """Return the generator.

        Raises
        ------
        ValueError
            If it learned statistics, whose attributes are unknown.
        """
        if self.learns:
            raise ValueError(
                f"a file cannot contain the statistics of a {type(self._generator).__name__}, a "
                "subclass of ImageDataGenerator; use ImageAugmenter, which takes the same "
                "parameters, or a pickle for readers who trust you"
            )
        fixed = None if self._fixed is None else [*self._fixed]
        return {"generator": self._generator, "fixed": fixed}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> GeneratorAugmenter:
        """Return an augmenter of the generator."""
        return cls(config["generator"], config["fixed"])

    def steps(self) -> list[Step]:
        """Return the two steps of its ``flow``."""
        return [
            Step("apply_transform", self._try_transform, standardizes=False),
            Step("standardize", self._try_standardizing, declared=True, standardizes=True),
        ]

    def _try_transform(self, images: list[np.ndarray], seed: int) -> Trial:
        # Its use of global random numbers is not checked.
        return Trial([np.asarray(self.augment(image, seed)) for image in images], drew=True)

    def _try_standardizing(self, images: list[np.ndarray], seed: int) -> Trial:
        return Trial([self._standardized(image) for image in images], drew=False)

    def augment(self, image: np.ndarray, seed: int) -> Any:
        """Draw and apply a transform, like the generator's own ``flow``."""
        with seeded(seed):
            parameters = self._generator.get_random_transform(image.shape)
            return self._generator.apply_transform(image.astype(self._generator.dtype), parameters)

    def finish(self, image: np.ndarray, seed: int) -> tuple[Any, bool]:
        """Let the generator standardise a copy, with its transform if that is deterministic."""
        transforms = self._fixed is not None and self._fixed[0]
        if transforms:
            image = np.asarray(self.augment(image, seed))
        return self._standardized(image), transforms

    def _standardized(self, image: np.ndarray) -> np.ndarray:
        result = self._generator.standardize(image.astype(self._generator.dtype))
        return np.asarray(result, dtype=np.float32)


class LayerAugmenter(SeededAugmenter):
    """Keras image layers, run outside of the model.

    Its steps are the layers in a ``Sequential`` or ``Pipeline``, at any depth. A layer that
    changes an image in the same way with every seed, such as ``Rescaling`` or ``RandomInvert((1,
    1))``, runs in training and at prediction. In training the seeds of all layers are set for each
    image, so that its transform does not depend on its batch. At prediction random layers run with
    ``training=False``, which has no effect.

    Parameters
    ----------
    layer : keras.Layer
        An image layer, a ``Sequential`` of them, or a ``keras.layers.Pipeline``. A copy
        of it is used.
    fixed : sequence of bool, optional
        For each step, whether it is deterministic. None finds it out.
    """

    _MIXING = ("CutMix", "MixUp")

    def __init__(self, layer: Any, fixed: Sequence[bool] | None = None) -> None:
        for step in layers_in(layer):
            if type(step).__name__ in self._MIXING:
                raise ValueError(
                    f"keras.layers.{type(step).__name__} mixes the labels of a batch, which "
                    "an augmenter of images cannot; use ImageAugmenter's mixup_alpha or "
                    "cutmix_alpha"
                )
        self.__setstate__({"layer": _described(layer), "fixed": fixed})

    def __getstate__(self) -> dict[str, Any]:
        return {"layer": _described(self._whole), "fixed": self._fixed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        with seeded(0):  # New layers without a seed draw one from `random`.
            self._whole = _made(*state["layer"])
        self._layers = list(_leaves(self._whole))
        # The layers' seeds are variables: two threads must not set them at once.
        self._lock = threading.Lock()
        self._run_whole = _image_by_image(
            lambda images: _trained(self._layers, images), lambda: _all_seed_states(self._layers)
        )
        self._run_random = _image_by_image(
            lambda images: _trained(self._random_layers(), images),
            lambda: _all_seed_states(self._random_layers()),
        )
        super().__init__(state["fixed"])

    def to_config(self) -> dict[str, Any]:
        """Return the layer, and which of its steps are deterministic."""
        fixed = None if self._fixed is None else [*self._fixed]
        return {"layer": self._whole, "fixed": fixed}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> LayerAugmenter:
        """Return an augmenter of the layer. Without ``fixed``, trials decide again."""
        return cls(config["layer"], config.get("fixed"))

    def to_layers(self) -> list[Callable[[Any], Any]]:
        """Return copies of the layers for prediction.

        Raises
        ------
        ValueError
            If a layer can be random but never is: in a Keras model it has no effect at prediction.
        """
        own = LayerAugmenter(self._whole, self._fixed)
        pairs = zip(own._layers, own._fixed or (), strict=True)
        idle = [type(layer).__name__ for layer, fixed in pairs if fixed and _has_seeds(layer)]
        if idle:
            raise ValueError(
                f"{', '.join(idle)} changes every image in the same way, also at prediction, but "
                "in a Keras model it would do nothing at prediction. Use a layer that is not "
                "random, or change X itself."
            )
        return [partial(layer, training=False) for layer in own._layers]

    def steps(self) -> list[Step]:
        """Return the layers in their order, without the sequences that contain them."""
        return [
            Step(type(layer).__name__, partial(_try, layer), standardizes=not _has_seeds(layer))
            for layer in self._layers
        ]

    def apply(self, images: np.ndarray, table: np.ndarray) -> np.ndarray:
        """Run the random layers with each image's seeds, in the images' own dtype."""
        images = np.array(images)
        if not len(images) or all(self._decide(images)):
            return images
        with self._lock:
            result = self._run_random(images, table)
        check_shape(result, images.shape)
        if images.max() > 10 and result.max() <= 1:
            raise ValueError(
                f"{', '.join(self.random_steps)} needs to keep the range of the images, whose "
                f"values go to {images.max():g}, and returned values of at most "
                f"{result.max():g}. Pass value_range=(0, 255) to such layers, or give fit and "
                "predict images within [0, 1]."
            )
        return from_working(result, images.dtype)

    def standardize(self, images: np.ndarray) -> np.ndarray:
        """Run the deterministic layers, and the random ones with ``training=False``; float32."""
        images = np.array(images, np.float32)
        if not len(images):
            return images
        fixed = self._decide(images)
        out = self._at_prediction(images)
        drawing = any(f and _has_seeds(la) for f, la in zip(fixed, self._layers, strict=True))
        # The trial proves it only for the images of the trial.
        if drawing and not np.array_equal(out, self._at_prediction(images), equal_nan=True):
            raise ValueError(
                f"{', '.join(self.fixed_steps)} gave the same result for every seed on the first "
                "images, but not on these: prediction would be random"
            )
        check_shape(out, images.shape)
        return out

    def _at_prediction(self, images: Any) -> np.ndarray:
        for layer, fixed in zip(self._layers, self._fixed or (), strict=True):
            images = layer(images, training=fixed and _has_seeds(layer))
        return np.array(keras.ops.convert_to_numpy(images), np.float32)

    def _in_order(self, images: np.ndarray, table: np.ndarray) -> np.ndarray:
        with self._lock:
            result = self._run_whole(images, table)
        check_shape(result, images.shape)
        return result

    def _random_layers(self) -> list[Any]:
        both = zip(self._layers, self._fixed or (), strict=True)
        return [layer for layer, fixed in both if not fixed]


def _leaves(layer: Any) -> Iterator[Any]:
    if not isinstance(layer, (keras.Sequential, keras.layers.Pipeline)):
        yield layer
        return
    for part in layer.layers:
        yield from _leaves(part)


def _trained(layers: list[Any], images: Any) -> Any:
    for layer in layers:
        images = layer(images, training=_has_seeds(layer))
    return images


def _try(layer: Any, images: list[np.ndarray], seed: int) -> Trial:
    """Run a layer as in training, on all images at once."""
    for number, state in enumerate(_seed_states(layer)):
        state.assign(np.array([seed, number]))
    result = layer(np.stack(images).astype(np.float32), training=_has_seeds(layer))
    return Trial(list(np.array(keras.ops.convert_to_numpy(result))), drew=_has_seeds(layer))


def _described(layer: Any) -> tuple[type, Any, Any]:
    """Return the recipe for an equal layer, by class, so that no class must be registered."""
    if isinstance(layer, (keras.Sequential, keras.layers.Pipeline)):
        return type(layer), [_described(step) for step in layer.layers], None
    learned: dict[str, Any] = {}
    if layer.weights:
        layer.save_own_variables(learned)
    return type(layer), _untracked(layer.get_config()), (layer.get_build_config(), learned)


def _untracked(config: Any) -> Any:
    # Keras' own lists and dicts refer to their layer, and cannot be pickled.
    if isinstance(config, dict):
        return {name: _untracked(value) for name, value in config.items()}
    if isinstance(config, (list, tuple)):
        return [_untracked(value) for value in config]
    return config


def _made(kind: type, config: Any, state: Any) -> Any:
    if state is None:
        return kind([_made(*step) for step in config])
    layer = kind.from_config(config)  # type: ignore[attr-defined]
    build_config, learned = state
    if learned:
        layer.build_from_config(build_config)
        layer.load_own_variables(learned)
    return layer


def _has_seeds(layer: Any) -> bool:
    return bool(_seed_states(layer))


def _all_seed_states(layers: list[Any]) -> list[Any]:
    return [state for layer in layers for state in _seed_states(layer)]


def _seed_states(layer: Any) -> list[Any]:
    parts = layers_in(layer)
    for part in filter(_must_be_random, parts):
        if not any(seed_generators(inner) for inner in layers_in(part)):
            raise unsupported(
                "keras",
                f"to seed {type(part).__name__}, which would give other images each time",
                LookupError("no keras.random.SeedGenerator"),
            )
    return [own.state for part in parts for own in seed_generators(part)]


def _must_be_random(layer: keras.Layer) -> bool:
    """Whether it is one of Keras' random image layers, by its name in Keras' documentation."""
    return any(
        kind.__module__.partition(".")[0] == "keras"
        and (kind.__name__.startswith("Rand") or kind.__name__ == "AugMix")
        for kind in type(layer).__mro__
    )


def _image_by_image(
    call: Callable[[Any], Any], seed_states: Callable[[], list[Any]]
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return a function of images and their table that runs layers with each image's own seeds.

    Layers draw one set of numbers for each batch, or numbers by position in the batch. So an image
    gets the numbers of its seed only in a batch of one.
    """

    def one(image: Any, seeds: Any) -> Any:
        for number, state in enumerate(seed_states()):
            state.assign(seeds[number])
        return call(image[None])[0]

    loop = _compiled_loop(one) if keras.backend.backend() == "tensorflow" else _plain_loop(one)

    def run(images: np.ndarray, table: np.ndarray) -> np.ndarray:
        if not len(images):
            return np.empty(images.shape, np.float32)
        count = len(seed_states())
        seeds = [
            np.random.SeedSequence(seed).generate_state(2 * count).reshape(count, 2)
            for seed in table["seed"].tolist()
        ]
        # Below 2**31, since the backends of Keras have different integer types for states.
        halves = np.array(seeds, np.int64) >> 1
        return np.array(loop(images.astype(np.float32), halves), np.float32)

    return run


def _plain_loop(one: Callable[[Any, Any], Any]) -> Callable[[np.ndarray, np.ndarray], Any]:
    def loop(images: np.ndarray, seeds: np.ndarray) -> Any:
        return [keras.ops.convert_to_numpy(one(*pair)) for pair in zip(images, seeds, strict=True)]

    return loop


def _compiled_loop(one: Callable[[Any, Any], Any]) -> Callable[[np.ndarray, np.ndarray], Any]:
    # 1.5 ms for an image of 64 pixels. Calling the layers one by one takes 26 ms.
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def loop(images: Any, seeds: Any) -> Any:
        return tf.map_fn(
            lambda pair: one(*pair),
            (images, seeds),
            fn_output_signature=tf.float32,
            # Images share the variables of the seeds.
            parallel_iterations=1,
        )

    return loop
