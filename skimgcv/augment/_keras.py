"""Keras' own augmentation as augmenters: layers, and subclasses of its generator."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import keras
import numpy as np

from .._runtime.keras_internals import layers_in
from .._runtime.seeding import seeded
from ._dtypes import from_working
from ._seeded import SeededAugmenter


class GeneratorAugmenter(SeededAugmenter):
    """A subclass of Keras' ImageDataGenerator: its own methods are called.

    One image after another, as its ``flow`` does, and with its bugs. Its global random
    numbers are seeded for each image, and everybody else's restored afterwards.

    Parameters
    ----------
    generator : instance of a subclass of ImageDataGenerator
        A copy of it is used.
    """

    def __init__(self, generator: Any) -> None:
        self._generator = copy.deepcopy(generator)
        for name in ("mean", "std", "zca_whitening_matrix"):
            setattr(self._generator, name, None)
        self.fixed_steps = ["standardize"]
        self.random_steps = ["apply_transform"]

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
        """Let the generator learn its statistics, if it has any; reads all images at once."""
        if self.learns:
            self._generator.fit(np.asarray(images))
        return self

    def to_config(self) -> dict[str, Any]:
        """Return the generator.

        Raises
        ------
        ValueError
            Where it learned statistics: nobody knows of which attributes they are made.
        """
        if self.learns:
            raise ValueError(
                f"a file cannot hold what a {type(self._generator).__name__} learned, a subclass "
                "of ImageDataGenerator; use ImageAugmenter, which takes the same parameters, or "
                "pickle the classifier for readers who trust you"
            )
        return {"generator": self._generator}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> GeneratorAugmenter:
        """Return an augmenter of the generator."""
        return cls(config["generator"])

    def augment(self, image: np.ndarray, seed: int) -> Any:
        """Draw and apply a transform, as the generator's own ``flow`` does."""
        with seeded(seed):
            parameters = self._generator.get_random_transform(image.shape)
            return self._generator.apply_transform(image.astype(self._generator.dtype), parameters)

    def standardize(self, images: np.ndarray) -> np.ndarray:
        """Let the generator standardise copies of the images, one by one."""
        out = np.empty(np.shape(images), np.float32)
        for image, target in zip(images, out, strict=True):
            target[...] = self._generator.standardize(image.astype(self._generator.dtype))
        return out


class LayerAugmenter(SeededAugmenter):
    """Keras image layers, run outside of the model.

    With ``training=True`` the layers' seeds are set for each image, so that what it gets
    does not depend on its batch. At prediction they run with ``training=False``, in which
    random layers do nothing, and others (Rescaling, Resizing) what they always do.

    Parameters
    ----------
    layer : keras.Layer
        An image layer, a ``Sequential`` of them, or a ``keras.layers.Pipeline``. A copy
        of it is used.
    """

    _MIXING = ("CutMix", "MixUp")

    def __init__(self, layer: Any) -> None:
        for step in layers_in(layer):
            if type(step).__name__ in self._MIXING:
                raise ValueError(
                    f"keras.layers.{type(step).__name__} mixes the labels of a batch, which "
                    "an augmenter of images cannot; use ImageAugmenter's mixup_alpha or "
                    "cutmix_alpha"
                )
        self.__setstate__({"layer": _described(layer)})

    def __getstate__(self) -> dict[str, Any]:
        return {"layer": _described(self._whole)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        with seeded(0):  # Layers without a seed draw one from `random` when they are made.
            self._whole = _made(*state["layer"])
        steps = getattr(self._whole, "layers", [self._whole])
        self._random = [step for step in steps if _seed_states(step)]
        self._fixed = [step for step in steps if not _seed_states(step)]
        self.fixed_steps = [type(step).__name__ for step in self._fixed]
        self.random_steps = [type(step).__name__ for step in self._random]
        self._random_first = self._random == steps[: len(self._random)]
        # The layers' seeds are variables: two threads must not set them at once.
        self._lock = threading.Lock()
        self._run_whole = _image_by_image(
            lambda images: self._whole(images, training=True), lambda: _seed_states(self._whole)
        )
        self._run_random = _image_by_image(
            self._call_random, lambda: [s for step in self._random for s in _seed_states(step)]
        )

    def to_config(self) -> dict[str, Any]:
        """Return the layer."""
        return {"layer": self._whole}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> LayerAugmenter:
        """Return an augmenter of the layer."""
        return cls(config["layer"])

    def to_layers(self) -> list[Callable[[Any], Any]]:
        """Return the layers that run at prediction; copies."""
        return [partial(step, training=False) for step in LayerAugmenter(self._whole)._fixed]

    def apply(self, images: np.ndarray, table: np.ndarray) -> np.ndarray:
        """Run the random layers with each image's seeds, in the images' own dtype."""
        images = np.asarray(images)
        with self._lock:
            result = self._run_random(images, table)
        return from_working(result, images.dtype)

    def standardize(self, images: np.ndarray) -> np.ndarray:
        """Run all layers with ``training=False``; float32."""
        out = self._whole(np.asarray(images, np.float32), training=False)
        return np.array(keras.ops.convert_to_numpy(out), np.float32)

    def prepare(self, images: np.ndarray, table: np.ndarray | None = None) -> np.ndarray:
        """Run all layers in their own order, with each image's seeds; float32.

        That is ``standardize(apply(images, table))`` if the random ones come first.
        """
        if table is None or self._random_first:
            return super().prepare(images, table)
        with self._lock:
            return self._run_whole(np.asarray(images), table)

    def _call_random(self, images: Any) -> Any:
        for step in self._random:
            images = step(images, training=True)
        return images


def _described(layer: Any) -> tuple[type, Any, Any]:
    """Return what makes an equal layer; by class, so that nobody needs to register theirs."""
    steps = getattr(layer, "layers", None)
    if steps is not None:
        return type(layer), [_described(step) for step in steps], None
    learned: dict[str, Any] = {}
    if layer.weights:
        layer.save_own_variables(learned)
    return type(layer), _untracked(layer.get_config()), (layer.get_build_config(), learned)


def _untracked(config: Any) -> Any:
    # Keras' own lists and dicts know their layer, and cannot be pickled.
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


def _seed_states(layer: Any) -> list[Any]:
    return [variable for variable in layer.variables if variable.name == "seed_generator_state"]


def _image_by_image(
    call: Callable[[Any], Any], seed_states: Callable[[], list[Any]]
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return a function of images and their table that gives each image its own seeds.

    Layers draw one set of numbers a batch, or numbers by place in the batch: only in a
    batch of its own does an image get what its seed says.
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
        # Below 2**31: states are of another integer type in each of Keras' backends.
        halves = np.array(seeds, np.int64) >> 1
        return np.array(loop(images.astype(np.float32), halves), np.float32)

    return run


def _plain_loop(one: Callable[[Any, Any], Any]) -> Callable[[np.ndarray, np.ndarray], Any]:
    def loop(images: np.ndarray, seeds: np.ndarray) -> Any:
        return [keras.ops.convert_to_numpy(one(*pair)) for pair in zip(images, seeds, strict=True)]

    return loop


def _compiled_loop(one: Callable[[Any, Any], Any]) -> Callable[[np.ndarray, np.ndarray], Any]:
    # 1.5 ms an image of 64 pixels where calling the layers one by one takes 26 ms.
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def loop(images: Any, seeds: Any) -> Any:
        return tf.map_fn(
            lambda pair: one(*pair),
            (images, seeds),
            fn_output_signature=tf.float32,
            # Images share the variables that hold the seeds.
            parallel_iterations=1,
        )

    return loop
