"""Iterative stratification, against the paper's algorithm written down step by step."""

import numpy as np
import pytest

from skimgcv._data.numeric_targets import strata_of_numbers
from skimgcv._data.stratification import share_out

RNG = np.random.default_rng(0)


def by_the_paper(table, shares):
    """Algorithm 1 of Sechidis et al. (2011); of equal choices the first."""
    wanted = [share * len(table) for share in shares]
    wanted_of = [[share * column.sum() for column in table.T] for share in shares]
    left, part_of = list(range(len(table))), {}
    while left:
        counts = {label: int(table[left, label].sum()) for label in range(table.shape[1])}
        counts = {label: n for label, n in counts.items() if n}
        label = min(counts, key=lambda name: (counts[name], name)) if counts else None
        for row in [r for r in left if label is None or table[r, label]]:
            keys = [
                (round(0 if label is None else of[label], 6), round(n, 6))
                for of, n in zip(wanted_of, wanted, strict=True)
            ]
            part = keys.index(max(keys))
            part_of[row] = part
            wanted[part] -= 1
            for other in np.flatnonzero(table[row]):
                wanted_of[part][other] -= 1
            left.remove(row)
    return [part_of[row] for row in range(len(table))]


@pytest.mark.parametrize("shares", [[0.2] * 5, [0.75, 0.25]])
@pytest.mark.parametrize("n_labels", [1, 4])
def test_it_is_the_papers_algorithm(shares, n_labels):
    table = (RNG.random((60, n_labels)) < 0.3).astype(int)
    assert share_out(table, np.ones(60), shares).tolist() == by_the_paper(table, shares)


def test_random_order_shares_out_as_well():
    table = (RNG.random((200, 5)) < [0.5, 0.3, 0.1, 0.1, 0.02]).astype(int)
    for seed in range(5):
        held = share_out(table, np.ones(200), [0.75, 0.25], np.random.default_rng(seed)) == 1
        assert abs(held.sum() - 50) <= 1
        assert (np.abs(table[held].sum(0) - table.sum(0) / 4) <= 2).all()


def test_equal_numbers_are_of_one_stratum():
    y = np.repeat([0.0, 1, 2, 3], [50, 3, 5, 42])
    strata = strata_of_numbers(y, 20)
    assert all(len(set(strata[y == value])) == 1 for value in range(4))
    assert strata_of_numbers(y, 1).tolist() == [0] * 100
