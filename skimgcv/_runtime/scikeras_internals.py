"""Private names, continued: SciKeras' hooks, under our own names.

A separate file, since importing SciKeras changes how Keras' objects are copied and pickled. A
missing name has the effect that ``keras_internals`` describes.
"""

from __future__ import annotations

from typing import Any

import keras
from scikeras.wrappers import BaseWrapper

from skimgcv._runtime.versions import needed, require

# The methods that read each hook. If SciKeras did not call a hook, parameters would be lost
# silently: an error. Seen in SciKeras 0.13, the only version for Keras 3.
_READS = {
    "get_params": {"_get_param_names"},
    "_get_compile_kwargs": {"get_params"},
    "_initialize_callbacks": {"get_params", "_fit_callbacks", "_predict_callbacks"},
}


@needed("scikeras", "to build a model and route its parameters")
def _check_hooks() -> None:
    for method, names in _READS.items():
        code = getattr(BaseWrapper, method).__code__
        missing = names.difference(code.co_names, code.co_consts)
        require(not missing, f"{method} does not read {missing}")


class SciKerasHooks(BaseWrapper):
    """SciKeras' wrapper. A subclass calls the builder and changes the compile arguments.

    Parameters
    ----------
    parameters : dict
        All parameters of an estimator.
    meta : dict
        The ``meta`` of a builder.
    """

    def __init__(self, parameters: dict[str, Any], meta: dict[str, Any]) -> None:
        _check_hooks()
        super().__init__()
        self.__dict__.update(parameters, **meta)
        self._own_names = frozenset(parameters)
        self._meta = meta
        # SciKeras would switch on TensorFlow's global determinism; the caller seeds instead.
        self._random_state = None

    def compile_arguments(self) -> dict[str, Any]:
        """Return the arguments that are routed to ``compile``."""
        return super()._get_compile_kwargs()

    def meta(self) -> dict[str, Any]:
        """Return the ``meta`` of a builder."""
        return dict(self._meta)

    def made_callbacks(self, method: str) -> list[keras.callbacks.Callback]:
        """Return the callbacks for ``fit`` or ``predict``, which may contain lists."""
        self._initialize_callbacks()
        return self._fit_callbacks if method == "fit" else self._predict_callbacks

    # -- methods that SciKeras calls ---------------------------------------------------------

    def _get_param_names(self) -> list[str]:
        # SciKeras treats names that end with _ as fitted attributes.
        return [n for n in vars(self) if n in self._own_names or n.strip("_") == n]

    def _get_compile_kwargs(self) -> dict[str, Any]:
        return self.compile_arguments()
