"""``verbose=1``: tqdm's line for each fit, updated on a screen, else written at the end."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import sys
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras

_FORMAT = "{desc} {percentage:3.0f}%|{bar:20}| {elapsed}<{remaining}{postfix}"


class FitBar(keras.callbacks.Callback):
    """Shows the progress of a fit, its losses and the remaining time.

    Parameters
    ----------
    first_epoch, epochs : int
        The line counts from ``first_epoch + 1`` to ``epochs``.
    name : str
        The name of an epoch; the second phase has another one.
    live : bool
        Whether the line is updated, or written once at the end of the fit.
    """

    # Its hook for batches reads no metric, so Keras does not wait for them.
    async_safe = True
    takes_groups = True

    def __init__(self, first_epoch: int, epochs: int, *, name: str, live: bool) -> None:
        super().__init__()
        self._first, self._epochs, self._epoch = first_epoch, epochs, first_epoch
        self._name = name
        self._live = live
        self._bar = _tqdm(live)(
            bar_format=_FORMAT,
            file=sys.stderr if live else io.StringIO(),
            dynamic_ncols=live,
            ascii="utf" not in str(sys.stderr.encoding).lower(),
            total=1,
            desc=self._description(),
        )

    def on_train_begin(self, logs: Any = None) -> None:
        """Set the number of batches."""
        self._bar.total = self._steps * (self._epochs - self._first)
        self._bar.refresh()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Name the epoch."""
        self._epoch = epoch
        self._bar.set_description_str(self._description(), refresh=False)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count a batch."""
        self._move_to(self._steps * (self._epoch - self._first) + batch + 1)

    def on_epoch_end(self, epoch: int, logs: Any) -> None:
        """Show the losses, and those of the hold-out set if there is one."""
        held_out = {name: value for name, value in logs.items() if name.startswith("val_")}
        shown = {"loss": logs["loss"]} | (held_out or logs)
        self._bar.set_postfix({n: f"{v:.3g}" for n, v in shown.items()}, refresh=False)
        self._move_to(self._steps * (epoch + 1 - self._first))
        self._bar.refresh()

    def on_train_end(self, logs: Any = None) -> None:
        """Move the bar to the end, also if training stopped early."""
        self._bar.total = self._bar.n
        self._bar.refresh()

    def close(self) -> None:
        """Keep the line."""
        self._bar.close()
        if not self._live:
            sys.stderr.write(f"{self._bar}\n")

    @property
    def _steps(self) -> int:
        return int(self.params["steps"])

    def _description(self) -> str:
        # The same width for each epoch, so that the bar does not move.
        return f"{self._name} {self._epoch + 1:{len(str(self._epochs))}}/{self._epochs}"

    def _move_to(self, batches: int) -> None:
        # Keras calls for batches from several threads, not always in order.
        self._bar.update(max(0, batches - self._bar.n))


class Progress(NamedTuple):
    """The display of a fit: options and callbacks for Keras."""

    verbose: int
    callbacks: list[keras.callbacks.Callback]


@contextlib.contextmanager
def progress_bar(
    verbose: Any, *, first_epoch: int, epochs: int, name: str = "epoch"
) -> Iterator[Progress]:
    """Show a fit for as long as it lasts.

    Parameters
    ----------
    verbose : int, bool or "auto"
        1 and "auto" show a line for the fit, 2 shows Keras' line for each epoch.
    first_epoch, epochs, name
        As for ``FitBar``.

    Yields
    ------
    Progress
    """
    if verbose not in (1, "auto"):
        yield Progress(int(verbose), [])
        return
    if epochs <= first_epoch or _writer() == "rich":
        yield Progress(0, [])
        return
    # Bars of several workers would overwrite each other, and a file would keep all updates.
    # The workers of a notebook write to a pipe, which looks like a file.
    bar = FitBar(first_epoch, epochs, name=name, live=_looked_at() and not _in_worker())
    try:
        yield Progress(0, [bar])
    finally:
        bar.close()


def _in_worker() -> bool:
    return (
        multiprocessing.parent_process() is not None
        or threading.current_thread() is not threading.main_thread()
    )


def _looked_at() -> bool:
    """Whether standard error is a terminal or a notebook."""
    return _writer() == "ipykernel" or sys.stderr.isatty()


def _writer() -> str:
    """Return the package that replaced standard error.

    While rich draws, as scikit-learn's ProgressBar does, rich replaces it, and writes other text
    above its own lines.
    """
    return type(sys.stderr).__module__.partition(".")[0]


def _tqdm(live: bool) -> Any:
    # Not at import: in a notebook without ipywidgets tqdm.auto warns.
    if live:
        from tqdm.auto import tqdm
    else:
        from tqdm.std import tqdm  # a notebook's bar would be displayed
    return tqdm
