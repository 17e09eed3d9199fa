"""--task regression: a number an image, or several."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skimgcv._cli.table import Table
from skimgcv._cli.tasks import Splits, Task, where_defined
from skimgcv._data.numeric_targets import strata_of_numbers
from skimgcv.model_selection import MultilabelStratifiedKFold


class Regression(Task):
    """A number an image, or several."""

    kind = "numbers"
    mixture = "small and large numbers"

    def read(self, table: Table, columns: Sequence[str]) -> tuple[np.ndarray, list[str]]:
        numbers = []
        for column in columns:
            table.check(column, "--label-column")
            numbers.append([_number(table, column, *cell) for cell in table.cells(column)])
        y = np.array(numbers).T
        return y[:, 0] if len(columns) == 1 else y, list(columns)

    def check(self, asked: argparse.Namespace, y: np.ndarray, names: Sequence[str]) -> None:
        if len(y) < 2 * asked.folds:
            raise ValueError(
                f"--folds {asked.folds} needs {2 * asked.folds} images or more, 2 a fold; there "
                f"are {len(y)}"
            )
        for name, column in zip(names, y.reshape(len(y), -1).T, strict=True):
            if np.ptp(column) == 0:
                raise ValueError(
                    f"all numbers of {name!r} are {column[0]:g}: there is nothing to learn"
                )

    def splits(self, y: np.ndarray, groups: np.ndarray | None, folds: int, seed: int) -> Splits:
        strata = strata_of_numbers(y, len(y) // folds)
        table = strata if strata.ndim == 2 else np.eye(strata.max() + 1, dtype=np.int8)[strata]
        # A column that all rows have changes nothing, and the splitter needs two.
        table = np.c_[np.ones(len(y), dtype=np.int8), table]
        splitter = MultilabelStratifiedKFold(folds, shuffle=True, random_state=seed)
        return list(splitter.split(y, table, groups))

    def scorers(self, y: np.ndarray) -> Mapping[str, Any]:
        from sklearn.metrics import get_scorer

        # Of numbers that are all equal, scikit-learn says 0 or 1.
        return {
            "r2": where_defined(_differs, get_scorer("r2")),
            "neg_mean_absolute_error": "neg_mean_absolute_error",
            "neg_root_mean_squared_error": "neg_root_mean_squared_error",
        }

    def estimator(self, asked: argparse.Namespace, **common: Any) -> Any:
        from sklearn.compose import TransformedTargetRegressor
        from sklearn.preprocessing import StandardScaler

        from skimgcv import AugmentedKerasRegressor

        # A network learns best from numbers close to 1.
        return TransformedTargetRegressor(
            AugmentedKerasRegressor(**common), transformer=StandardScaler()
        )

    def meta(self, y: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        target_type = "continuous" if y.ndim == 1 else "continuous-multioutput"
        return {"n_outputs_": len(names), "target_type_": target_type}

    def described(self, y: np.ndarray, names: Sequence[str]) -> tuple[str, str]:
        said = [
            f"{name} from {column.min():g} to {column.max():g}, {column.mean():.4g} on average"
            for name, column in zip(names, y.reshape(len(y), -1).T, strict=True)
        ]
        what = "a number" if len(names) == 1 else f"{len(names)} numbers"
        return f"with {what} each", "; ".join(said)

    def settings(self) -> dict[str, str]:
        return {
            "numbers": "scaled for training, by the mean and the standard deviation of each "
            "fold's training images; predictions are scaled back"
        }

    def prediction_columns(
        self, predictions: Mapping[str, np.ndarray], names: Sequence[str]
    ) -> dict[str, Sequence[Any]]:
        true, predicted = predictions["target"].T.tolist(), predictions["predicted"].T.tolist()
        return {
            **dict(zip(names, true, strict=True)),
            **{f"predicted({n})": of_name for n, of_name in zip(names, predicted, strict=True)},
        }


def _differs(y: np.ndarray) -> bool:
    return bool((np.ptp(y, axis=0) > 0).all())


def _number(table: Table, column: str, line: int, cell: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(
            f"{table} needs numbers such as 3.5 in {column!r} for --task regression; line {line} "
            f"has {cell!r}"
        )
    return number
