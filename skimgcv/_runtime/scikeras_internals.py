"""The one door to SciKeras: its routing of parameters, and its hooks under names of ours."""

from __future__ import annotations

from typing import Any

import keras
from scikeras._utils import accepts_kwargs, has_param, route_params
from scikeras.wrappers import BaseWrapper

__all__ = ["SciKerasHooks", "accepts_kwargs", "has_param", "route_params"]


class SciKerasHooks(BaseWrapper):
    """SciKeras' wrapper, of which a subclass changes the builder and what is compiled.

    Parameters
    ----------
    parameters : dict
        Of an estimator, and what a builder may get as ``meta``.
    to_builder : set of str
        Those that go to the builder though they have no prefix.
    """

    def __init__(self, parameters: dict[str, Any], *, to_builder: set[str]) -> None:
        super().__init__()
        self.__dict__.update(parameters)
        self._user_params = to_builder
        # SciKeras would switch on TensorFlow's global determinism; the caller seeds instead.
        self._random_state = None

    def builder(self) -> Any:
        """Return the function that builds; it must be a function, or a functools.partial."""
        raise NotImplementedError

    def compile_arguments(self) -> dict[str, Any]:
        """Return what is routed to ``compile``."""
        return super()._get_compile_kwargs()

    def built(self) -> Any:
        """Return what the builder returns."""
        return self._build_keras_model()

    def made_callbacks(self, method: str) -> list[keras.callbacks.Callback]:
        """Return the callbacks for ``fit`` or ``predict``, lists in it perhaps."""
        self._initialize_callbacks()
        return self._fit_callbacks if method == "fit" else self._predict_callbacks

    # -- what SciKeras calls ---------------------------------------------------------

    def _check_model_param(self) -> Any:
        return self.builder()

    def _get_compile_kwargs(self) -> dict[str, Any]:
        return self.compile_arguments()
