"""Figures without a screen, and none left open."""

import pytest


@pytest.fixture(autouse=True)
def _headless():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    yield
    import matplotlib.pyplot as plt

    for number in plt.get_fignums():
        # Drawing finds what making the artists does not: missing glyphs, layouts without room.
        plt.figure(number).canvas.draw()
    plt.close("all")


@pytest.fixture
def axes():
    import matplotlib.pyplot as plt

    return plt.subplots()[1]
