"""A CSV file with a line for each image."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path


class Table:
    """The cells of a CSV file, as ``load_image_table`` wants a data frame.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    columns : list of str

    Raises
    ------
    ValueError
        Where it is no file, is not text, or its lines do not fit its columns.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            what = "a folder" if path.is_dir() else "not there"
            raise ValueError(
                f"--table {path} is {what}; it needs a CSV file with a line for each image"
            )
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} needs to be a CSV file in UTF-8") from error
        first = text.partition("\n")[0]
        # Spreadsheets write semicolons where a comma is a decimal point.
        separator = max(",;\t", key=first.count)
        self._path = path
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
        self.columns = list(reader.fieldnames or [])
        self._rows: list[dict[str, str | None]] = []
        self._lines: list[int] = []
        for row in reader:
            if None in row:
                raise ValueError(
                    f"{path} has more cells in line {reader.line_num} than columns; a cell with "
                    f"{separator!r} in it needs quotation marks"
                )
            self._rows.append(row)
            self._lines.append(reader.line_num)

    def __getitem__(self, column: str) -> list[str]:
        # A space that nobody sees would make another class.
        return [(row[column] or "").strip() for row in self._rows]

    def __str__(self) -> str:
        return str(self._path)

    def cells(self, column: str) -> Iterator[tuple[int, str]]:
        """Yield the number of the line and the cell of each row."""
        yield from zip(self._lines, self[column], strict=True)

    def check(self, column: str, option: str, *, may_be_empty: bool = False) -> None:
        """Refuse a column that is not there once, or has empty cells."""
        n = self.columns.count(column)
        if n != 1:
            has = "no column" if not n else f"{n} columns"
            raise ValueError(
                f"{self._path} has {has} {column!r}; {option} needs one of {self.columns}"
            )
        for line, row in zip(self._lines, self._rows, strict=True):
            if row[column] is None:
                raise ValueError(f"{self._path} ends line {line} before column {column!r}")
            if not may_be_empty and not (row[column] or "").strip():
                raise ValueError(f"{self._path} has no {column!r} in line {line}")
