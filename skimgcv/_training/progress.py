"""``verbose=1``: a line for each fit, by tqdm: drawn where somebody looks on, else whole."""

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
    """Draws how far a fit is, its losses, and the time that it still needs.

    Parameters
    ----------
    first_epoch, epochs : int
        Those that are run are numbered ``first_epoch + 1`` to ``epochs``.
    name : str
        What an epoch is called: those of a second phase have a name of their own.
    live : bool
        Whether the line is drawn again and again, or written once, when the fit ends.
    """

    # Its hook for a batch looks at no metric, so that Keras need not wait for them.
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
        """Learn how many batches there are."""
        self._bar.total = self._steps * (self._epochs - self._first)
        self._bar.refresh()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Name the epoch."""
        self._epoch = epoch
        self._bar.set_description_str(self._description(), refresh=False)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Move on by a batch."""
        self._move_to(self._steps * (self._epoch - self._first) + batch + 1)

    def on_epoch_end(self, epoch: int, logs: Any) -> None:
        """Show the losses, and the scores of the hold-out where there is one."""
        held_out = {name: value for name, value in logs.items() if name.startswith("val_")}
        shown = {"loss": logs["loss"]} | (held_out or logs)
        self._bar.set_postfix({n: f"{v:.3g}" for n, v in shown.items()}, refresh=False)
        self._move_to(self._steps * (epoch + 1 - self._first))
        self._bar.refresh()

    def on_train_end(self, logs: Any = None) -> None:
        """Be at the end, also where training stopped early."""
        self._bar.total = self._bar.n
        self._bar.refresh()

    def close(self) -> None:
        """Leave the line as it is."""
        self._bar.close()
        if not self._live:
            sys.stderr.write(f"{self._bar}\n")

    @property
    def _steps(self) -> int:
        return int(self.params["steps"])

    def _description(self) -> str:
        # As many characters for each epoch, so that the bar stays where it is.
        return f"{self._name} {self._epoch + 1:{len(str(self._epochs))}}/{self._epochs}"

    def _move_to(self, batches: int) -> None:
        # Keras calls for batches from several threads: later ones may be first.
        self._bar.update(max(0, batches - self._bar.n))


class Progress(NamedTuple):
    """How a fit is shown: what to tell Keras, and what else to give to it."""

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
        1 and "auto" are a line for the fit; 2 is Keras' line an epoch.
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
    # Workers' bars would draw over each other, and a file would keep each picture of a bar.
    # What a notebook's workers write comes to it through a pipe, which looks like a file.
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
    """Whether what is written now goes to a terminal or a notebook."""
    return _writer() == "ipykernel" or sys.stderr.isatty()


def _writer() -> str:
    """Return the package whose standard error it is.

    While rich draws, as scikit-learn's ProgressBar does, it is rich's, which makes of all else
    lines above its own.
    """
    return type(sys.stderr).__module__.partition(".")[0]


def _tqdm(live: bool) -> Any:
    # Not at import: in a notebook without ipywidgets tqdm.auto warns.
    if live:
        from tqdm.auto import tqdm
    else:
        from tqdm.std import tqdm  # the one of a notebook would show itself
    return tqdm
