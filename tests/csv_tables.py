"""CSV files of rows that are dictionaries."""

import csv


class Columns(dict):
    """A table of columns without pandas."""

    @property
    def columns(self):
        return list(self)

    @classmethod
    def of(cls, rows):
        return cls({name: [row[name] for row in rows] for name in rows[0]})


def written(folder, rows, separator=",", encoding="utf-8"):
    path = folder / "cells.csv"
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=separator)
        writer.writeheader()
        writer.writerows(rows)
    return path


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
