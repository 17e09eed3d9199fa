"""Private names of Keras and TensorFlow. Each is used here, and nowhere else.

If a name is missing or has changed its meaning, a message names the package's version:

- if the name only saves time, this is skipped with an ``UnsupportedVersionWarning``, once in each
  process;
- if a result depends on it, an ``UnsupportedVersionError`` is raised.

Private modules are imported at their first use. Each function says what it is for, what happens
without it, and in which versions it was seen. They ran with Keras 3.8, 3.13, 3.15 and 3.16
(nightly), and were read in the versions between; those of TensorFlow ran with 2.18, 2.20, 2.21 and
2.23 (nightly). ``tests/runtime/test_private_names.py`` removes each name in turn.
``step_internals`` has the names for compiled steps, ``scikeras_internals`` those of SciKeras,
whose import changes Keras, and ``other_internals``, which does not import Keras, those of other
packages.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import importlib
import inspect
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import keras

from skimgcv._runtime.versions import given_up, needed, refusing, require


def private(module: str, name: str) -> Any:
    """Return an object of Keras by its place, such as ``("utils.tracking", "Tracker")``."""
    return getattr(importlib.import_module(f"keras.src.{module}"), name)


# -- random states ---------------------------------------------------------------------------

_GLOBAL_SEED_GENERATOR = "global_seed_generator"


@refusing("keras", "to seed random numbers")
def global_seed_generator() -> Any:
    """Return the generator of Keras' unseeded numbers; None before its first use.

    Without it no fit could be repeated: ``seeding`` checks this. Seen in Keras 3.8 to 3.16.
    """
    return private("backend.common.global_state", "get_global_attribute")(_GLOBAL_SEED_GENERATOR)


@refusing("keras", "to seed random numbers")
def set_global_seed_generator(generator: Any) -> None:
    """Replace it. For None, Keras makes a new one from the numbers of ``random``.

    As ``global_seed_generator``. Seen in Keras 3.8 to 3.16.
    """
    set_attribute = private("backend.common.global_state", "set_global_attribute")
    set_attribute(_GLOBAL_SEED_GENERATOR, generator)


# -- global switches -------------------------------------------------------------------------


_FLASH_ATTENTION = "flash_attention"


def flash_attention() -> bool | None:
    """Return the setting for flash attention; None lets Keras choose.

    Without it a step with one setting could be used for the other: an error. Seen in Keras 3.8 to
    3.16.
    """
    _check_flash_attention()
    return private("backend.common.global_state", "get_global_attribute")(_FLASH_ATTENTION)


def set_flash_attention(on: bool | None) -> None:
    """Set it. Keras' own functions cannot set None or True in all versions.

    Without it an estimator would lose a setting: an error. Seen in Keras 3.8 to 3.16.
    """
    _check_flash_attention()
    private("backend.common.global_state", "set_global_attribute")(_FLASH_ATTENTION, on)


@needed("keras", "to let its switches go with an estimator")
def _check_flash_attention() -> None:
    set_attribute = private("backend.common.global_state", "set_global_attribute")
    before = private("backend.common.global_state", "get_global_attribute")(_FLASH_ATTENTION)
    try:
        for on in (False, True):
            set_attribute(_FLASH_ATTENTION, on)
            found = keras.config.is_flash_attention_enabled()
            require(found is on, f"{_FLASH_ATTENTION} is no switch")
    finally:
        set_attribute(_FLASH_ATTENTION, before)


@refusing("tensorflow", "to let its switches go with an estimator")
def op_determinism() -> bool:
    """Whether TensorFlow's operations are deterministic.

    Without it an estimator would lose a setting: an error. Seen in TensorFlow 2.18 to 2.23.
    """
    from tensorflow.python.framework.config import is_op_determinism_enabled

    return bool(is_op_determinism_enabled())


@refusing("tensorflow", "to let its switches go with an estimator")
def set_op_determinism(on: bool) -> None:
    """Switch it on or off: TensorFlow's public function can only switch it on.

    As ``op_determinism``. Seen in TensorFlow 2.18 to 2.23.
    """
    from tensorflow.python.framework import config

    (config.enable_op_determinism if on else config.disable_op_determinism)()


# -- layers and models -----------------------------------------------------------------------


@needed("keras", "to find the layers inside of a layer")
def _check_layers() -> None:
    dropout = keras.layers.Dropout(0.5, seed=0, name="dropout")
    outer = keras.Sequential([keras.Sequential([dropout], name="inner")], name="outer")
    require(dropout in outer._flatten_layers(), "_flatten_layers leaves layers out")
    (generator,) = dropout._seed_generators
    require(isinstance(generator, keras.random.SeedGenerator), "_seed_generators has others")


def layers_in(layer: keras.Layer) -> list[keras.Layer]:
    """Return a layer and all layers within it, at any depth.

    Without it files would lack custom layers and the states of Dropout: an error.
    Seen in Keras 3.8 to 3.16.
    """
    _check_layers()
    return list(layer._flatten_layers())


def seed_generators(layer: keras.Layer) -> list[keras.random.SeedGenerator]:
    """Return a layer's own generators, in the order of their states in files.

    Without it a layer could not be seeded or saved completely: an error. Seen in Keras 3.8 to
    3.16.
    """
    _check_layers()
    return list(layer._seed_generators)


@refusing("keras", "to see how a model was compiled")
def compile_arguments(model: keras.Model) -> dict[str, Any]:
    """Return the arguments of ``compile()``.

    The public getter serialises them, and so loses custom functions that are not registered.
    Without it a clone could be compiled differently: an error. Seen in Keras 3.8 to 3.16.
    """
    arguments = dict(model._compile_config.config)
    require({"optimizer", "loss", "metrics"} <= set(arguments), "_compile_config lacks arguments")
    scales_loss = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    if model.dtype_policy.name == "mixed_float16" and not scales_loss:
        arguments["auto_scale_loss"] = False  # Keras forgets it
    return arguments


@needed("keras", "to name metrics alike in each fit")
def _check_metric_names() -> None:
    with _metric_names_begin_anew():
        names = [keras.metrics.BinaryIoU(name=None).name for _ in range(2)]
    require(names == ["binary_io_u", "binary_io_u_1"], f"metrics are named {names}")


def metric_names_begin_anew() -> contextlib.AbstractContextManager[None]:
    """Name metrics that have no name as a new process names its first: ``auc``, ``auc_1``.

    Without it only the first fit would have ``val_auc``, and a callback that monitors it would
    do nothing in the others: an error. Layers keep their numbers, since a builder may also use
    layers that exist. Seen in Keras 3.8 to 3.16.
    """
    _check_metric_names()
    return _metric_names_begin_anew()


@contextlib.contextmanager
def _metric_names_begin_anew() -> Iterator[None]:
    counts = _counts_of_names()
    _seen_metrics.update(_names_of(keras.metrics.Metric))
    # Operations such as ``keras.ops.mean`` count on with the metrics of their name.
    ours = (_seen_metrics & set(counts)) - _names_of(keras.Operation)
    kept = {name: counts.pop(name) for name in ours}
    try:
        yield
    finally:
        # A builder may define a class, which is gone before the next fit.
        _seen_metrics.update(_names_of(keras.metrics.Metric))
        if counts is _counts_of_names():  # unless the builder has cleared Keras' session
            for name, count in kept.items():
                counts[name] += count


_seen_metrics: set[str] = set()


def _counts_of_names() -> Any:
    return private("backend.common.global_state", "get_global_attribute")(
        "object_name_uids", collections.defaultdict(int), set_to_default=True
    )


def _names_of(base: type) -> set[str]:
    """Return the names that Keras gives to objects of a class and of all its subclasses."""
    name: str = private("utils.naming", "to_snake_case")(base.__name__)
    return {name}.union(*map(_names_of, base.__subclasses__()))


@refusing("keras", "to see an optimizer's schedule")
def learning_rate_of(value: Any) -> Any:
    """Return the schedule, function or variable of an optimizer's learning rate, or None.

    The public attribute is the current rate. Without it a pickle would lack a custom schedule: an
    error. Seen in Keras 3.8 to 3.16.
    """
    return value._learning_rate if isinstance(value, keras.optimizers.Optimizer) else None


@refusing("keras", "to see which layer gives a model's output")
def call_of(tensor: keras.KerasTensor) -> tuple[keras.Operation, list[keras.KerasTensor], int]:
    """Return the layer or operation of a symbolic tensor, its inputs, and which output this is.

    Without it scores could be mistaken for probabilities: an error. Seen in Keras 3.8 to 3.16.
    """
    operation, node, place = tensor._keras_history
    return operation, operation._inbound_nodes[node].input_tensors, place


CHOICES_OF_VARIABLES = {
    "_exclude_from_weight_decay",
    "_exclude_from_weight_decay_pattern",
    "_weight_decay_by_var_key",
}
"""Attributes in which an optimizer records the variables with weight decay, in any order: see
``decays``.

Without them a checkpoint of an equal fit in another process is not resumed.
Seen in Keras 3.8 to 3.16; the last in 3.16 only.
"""


def spares_variables(optimizer: Any) -> bool:
    """Whether some variables of an optimizer were excluded from weight decay after it was made.

    Its config does not contain this. An optimizer without exclusions lacks these attributes. If
    one with exclusions lacked them, its copies would decay all variables: an error. Seen in Keras
    3.8 to 3.16.
    """
    _check_spares()
    return _spares(optimizer)


@needed("keras", "to see which weights an optimizer spares")
def _check_spares() -> None:
    by_name, by_variable = (keras.optimizers.SGD(name="tells") for _ in range(2))
    by_name.exclude_from_weight_decay(var_names=["bias"])
    by_variable.exclude_from_weight_decay(var_list=[by_variable.iterations])
    require(all(map(_spares, (by_name, by_variable))), "exclude_from_weight_decay leaves no trace")


def _spares(optimizer: Any) -> bool:
    return bool(getattr(optimizer, "_exclude_from_weight_decay", None)) or (
        getattr(optimizer, "_exclude_from_weight_decay_pattern", None) is not None
    )


@refusing("keras", "to tell whether two fits let the same weights decay")
def decays(optimizer: keras.optimizers.Optimizer, variable: keras.Variable) -> bool:
    """Whether an optimizer's weight decay applies to this variable.

    Without it another fit could resume a checkpoint: an error. Seen in Keras 3.8 to 3.16, where
    ``_use_weight_decay`` knows only the variables of a built optimizer.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    excluded = getattr(inner, "_is_excluded_from_weight_decay", None)  # from 3.16 on
    return not excluded(variable) if excluded else bool(inner._use_weight_decay(variable))


# -- files and pickles -----------------------------------------------------------------------


@needed("keras", "to tell Keras' own classes from others")
def _check_names() -> None:
    dense, name = keras.layers.Dense, "keras.layers.Dense"
    require(private("api_export", "get_symbol_from_name")(name) is dense, "no class by its name")
    require(private("api_export", "get_name_from_symbol")(dense) == name, "no name of a class")
    require(_place(dense) == "layers.core.dense", f"Dense lies in {dense.__module__}")


def _place(symbol: Any) -> str:
    return getattr(symbol, "__module__", "").partition("keras.src.")[2]


def place_in_keras(symbol: Any) -> str:
    """Return where in Keras a class or function is defined, "layers.core.dense", or "".

    The place decides whether a file may name it, so it is an error without it. Seen in Keras
    3.8 to 3.16.
    """
    _check_names()
    return _place(symbol) if symbol.__module__.startswith("keras.src.") else ""


def public_name(symbol: type) -> str | None:
    """Return the name of a Keras class, such as "keras.losses.Hinge"; None for other classes.

    Without it no file can be written: an error. Seen in Keras 3.8 to 3.16.
    """
    _check_names()
    return private("api_export", "get_name_from_symbol")(symbol)


def by_public_name(name: str) -> Any:
    """Return the object with a public name in Keras, or None.

    Without it no file can be read: an error. Seen in Keras 3.8 to 3.16.
    """
    _check_names()
    return private("api_export", "get_symbol_from_name")(name)


@refusing("keras", "to load nobody's code")
def without_code() -> Any:
    """Return a context in which Keras makes no lambda from a config.

    Without it a file could run code: an error. Seen in Keras 3.8 to 3.16.
    """
    return private("saving.serialization_lib", "SafeModeScope")(True)


@refusing("keras", "to clone a model")
def with_code() -> Any:
    """Return a context in which Keras makes lambdas from a config, for the caller's own objects.

    Without it a model with a lambda could not be cloned: an error. Seen in Keras 3.8 to 3.16.
    """
    return private("saving.serialization_lib", "SafeModeScope")(False)


@refusing("keras", "to save what layers share")
def sharing() -> Any:
    """Return a context in which objects that layers share are written and read once.

    Without it a loaded model's layers would share less: an error. Seen in Keras 3.8 to 3.16.
    """
    return private("saving.serialization_lib", "ObjectSharingScope")()


def variables_wait() -> contextlib.AbstractContextManager[Callable[[], None]]:
    """Give the variables of a ``StatelessScope`` no memory before the returned function is called.

    Without it a damaged file could ask for any amount: an error. Seen in Keras 3.8 to 3.16.
    """
    _check_waiting()
    return _variables_wait([])


@contextlib.contextmanager
def _variables_wait(waiting: list[Any]) -> Iterator[Callable[[], None]]:
    name = "uninitialized_variables"
    set_attribute = private("backend.common.global_state", "set_global_attribute")
    before = private("backend.common.global_state", "get_global_attribute")(name)
    set_attribute(name, waiting)
    try:
        yield private("backend.common.variables", "initialize_all_variables")
    finally:
        set_attribute(name, before)


@needed("keras", "to load a model within the memory that its file fills")
def _check_waiting() -> None:
    waiting: list[Any] = []
    with _variables_wait(waiting) as initialize:
        with keras.StatelessScope(initialize_variables=False):
            variable = keras.Variable("ones", shape=(1,), dtype="float32", name="waits")
        require(len(waiting) == 1 and waiting[0] is variable, "variables do not wait")
        initialize()
    require(keras.ops.convert_to_numpy(variable) == [1], "variables wait for ever")
    require(private("utils.dtype_utils", "dtype_size")("float32") == 32, "dtype_size is no size")


def bits_of(dtype: str) -> int:
    """Return how many bits a value of a dtype takes.

    Without it the memory that a file needs is unknown: an error. Seen in Keras 3.8 to 3.16.
    """
    _check_waiting()
    return private("utils.dtype_utils", "dtype_size")(dtype)


def model_to_bytes(model: keras.Model) -> bytes:
    """Return the bytes of a model's ``.keras`` file.

    Without Keras' function for writing into memory, it is written to a file. Seen in Keras 3.8 to
    3.16.
    """
    try:
        write = private("saving.saving_lib", "save_model")
    except (ImportError, AttributeError):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.keras")
            keras.saving.save_model(model, path)
            with open(path, "rb") as file:
                return file.read()
    archive = io.BytesIO()
    write(model, archive)
    return archive.getvalue()


def model_from_bytes(data: bytes, custom_objects: dict[str, Any]) -> keras.Model:
    """Return the model of such bytes, lambdas included.

    As ``model_to_bytes``. Seen in Keras 3.8 to 3.16.
    """
    options = {"custom_objects": custom_objects, "safe_mode": False}
    try:
        read = private("saving.saving_lib", "load_model")
    except (ImportError, AttributeError):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.keras")
            with open(path, "wb") as file:
                file.write(data)
            return keras.saving.load_model(path, **options)
    return read(io.BytesIO(data), **options)


# -- batches ---------------------------------------------------------------------------------


def adapted(feed: Any) -> Any | None:
    """Return the object from which Keras reads a feed's batches unchanged; None if it cannot.

    Without it Keras reads them through a ``PyDataset``: it makes the first ones twice, and builds
    a pipeline for each fit, which it never frees. Seen in Keras 3.8 to 3.16.
    """
    adapter = _adapter_class()
    return None if adapter is None else adapter(feed)


# The source of batches on the other backends. Seen in Keras 3.8 to 3.16.
_HELPERS = {"jax": "get_jax_iterator", "torch": "get_torch_dataloader"}


@given_up("keras", "passing batches on", "Keras takes them in its own way, which is slower")
def _adapter_class() -> type:
    base = private("trainers.data_adapters.data_adapter", "DataAdapter")
    adapter = _adapter(base)
    for name, member in vars(base).items():
        theirs = getattr(member, "fget", member)
        if name.startswith("_") or not inspect.isfunction(theirs):
            continue
        own = vars(adapter).get(name, theirs)
        abstract = "NotImplementedError" in theirs.__code__.co_names
        require(own is not theirs or not abstract, f"DataAdapter asks for {name}")
        if inspect.isfunction(own):
            asked, known = (inspect.signature(f).parameters for f in (theirs, own))
            require(set(asked) <= set(known), f"DataAdapter.{name} takes {list(asked)}")
    if helper := _HELPERS.get(keras.backend.backend()):
        private("trainers.data_adapters.data_adapter_utils", helper)
    it = adapter(None)
    require(
        private("trainers.data_adapters", "get_data_adapter")(it) is it,
        "Keras does not take a DataAdapter as it is",
    )
    return adapter


def _adapter(base: Any) -> type:
    utils = functools.partial(private, "trainers.data_adapters.data_adapter_utils")

    class Adapter(base):
        """A feed's batches, with the methods of Keras' private base class."""

        def __init__(self, feed: Any) -> None:
            self._feed = feed

        def get_tf_dataset(self) -> Any:
            return self._feed.dataset()

        def get_numpy_iterator(self) -> Any:
            return self._feed.epoch()

        def get_jax_iterator(self, super_batch: int | None = None) -> Any:
            if not super_batch:  # needed from Keras 3.16 on, with steps_per_execution
                return utils("get_jax_iterator")(self._feed.epoch())
            stack = importlib.import_module("jax.numpy").stack
            return utils("super_batch_iterator")(self._feed.epoch(), super_batch, stack_fn=stack)

        def get_torch_dataloader(self) -> Any:
            return utils("get_torch_dataloader")(self._feed.epoch())

        @property
        def num_batches(self) -> int:
            return self._feed.num_batches

        # Unknown, since the last batch may have fewer rows.
        batch_size = partial_batch_size = None
        has_partial_batch = False

        def on_epoch_begin(self) -> None:
            self._feed.on_epoch_begin()

        def on_epoch_end(self) -> None:
            self._feed.on_epoch_end()

    return Adapter
