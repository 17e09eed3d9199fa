"""How an estimator looks in a notebook: short, the augmenter within it, links that are true."""

import re
from email.message import Message

import pytest
import sklearn
from builders import linear
from sklearn.utils.fixes import parse_version

from skimgcv import AugmentedKerasClassifier, ImageAugmenter
from skimgcv._runtime import links


@pytest.fixture
def published(monkeypatch):
    """Let the package say that its pages are on the web."""
    about = Message()
    about["Project-URL"] = "Source, https://example.org/code"
    about["Project-URL"] = "Documentation, https://docs.example.org/stable/"
    monkeypatch.setattr(links, "metadata", {"skimgcv": about}.__getitem__)
    links.documentation_address.cache_clear()
    yield
    links.documentation_address.cache_clear()


def classifier():
    return AugmentedKerasClassifier(linear, augmenter=ImageAugmenter(rotation_range=20), epochs=3)


@pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.7"),
    reason="scikit-learn's picture shows parameters from 1.7 on",
)
def test_the_augmenter_is_an_estimator_within_the_classifier():
    outer, augmenter = classifier()._repr_html_().split("augmenter: ImageAugmenter", 1)
    assert "validation_split" in outer
    assert re.search(r"rotation_range.*20", augmenter, re.DOTALL)


def test_it_is_said_in_a_line_what_is_not_as_ever():
    text = repr(classifier())
    assert re.fullmatch(
        r"AugmentedKerasClassifier\(augmenter=ImageAugmenter\(rotation_range=20\), epochs=3,\s+"
        r"model=<function linear at 0x\w+>\)",
        text,
    )
    assert repr(ImageAugmenter(zoom_range=0.2)) == "ImageAugmenter(zoom_range=0.2)"


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("estimator", [classifier(), ImageAugmenter()])
def test_links_lead_to_the_page_of_the_class(estimator):
    address = f"https://docs.example.org/stable/generated/skimgcv.{type(estimator).__name__}.html"
    assert estimator._get_doc_link() == address
    assert f'href="{address}"' in estimator._repr_html_()


def test_without_an_address_there_is_no_link(monkeypatch):
    monkeypatch.setattr(links, "metadata", {"skimgcv": Message()}.__getitem__)
    links.documentation_address.cache_clear()
    shown = classifier()._repr_html_()
    links.documentation_address.cache_clear()
    assert "Documentation for" not in shown
    assert "href=" not in shown.split("</style>")[-1]
