"""The one door to SciKeras: its routing of parameters, and its hooks under names of ours."""

from __future__ import annotations

from typing import Any

import keras
from scikeras._utils import accepts_kwargs, has_param, route_params
from scikeras.wrappers import BaseWrapper

__all__ = ["SciKerasHooks", "accepts_kwargs", "has_param", "route_params"]


class SciKerasHooks(BaseWrapper):
    """SciKeras' wrapper, of which a subclass calls the builder and changes what is compiled.

    Parameters
    ----------
    parameters : dict
        Of an estimator.
    meta : dict
        What a builder gets by that name.
    """

    def __init__(self, parameters: dict[str, Any], meta: dict[str, Any]) -> None:
        super().__init__()
        self.__dict__.update(parameters, **meta)
        self._own_names = frozenset(parameters)
        self._meta = meta
        # SciKeras would switch on TensorFlow's global determinism; the caller seeds instead.
        self._random_state = None

    def compile_arguments(self) -> dict[str, Any]:
        """Return what is routed to ``compile``."""
        return super()._get_compile_kwargs()

    def meta(self) -> dict[str, Any]:
        """Return what a builder gets as ``meta``."""
        return dict(self._meta)

    def made_callbacks(self, method: str) -> list[keras.callbacks.Callback]:
        """Return the callbacks for ``fit`` or ``predict``, lists in it perhaps."""
        self._initialize_callbacks()
        return self._fit_callbacks if method == "fit" else self._predict_callbacks

    # -- what SciKeras calls ---------------------------------------------------------

    def _get_param_names(self) -> list[str]:
        # SciKeras takes names that end with _ for fitted attributes.
        return [n for n in vars(self) if n in self._own_names or n.strip("_") == n]

    def _get_compile_kwargs(self) -> dict[str, Any]:
        return self.compile_arguments()
