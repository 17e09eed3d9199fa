"""The report in a real browser: nothing is missing, nothing is loaded, nothing is cut off."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, StratifiedKFold, cross_validate
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skimgcv.report import CrossValidationReport

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "chrome-headless-shell")
PROBE = """<script>
const images = [...document.images];
const seen = {
  images: images.length,
  missing: images.filter(image => !(image.complete && image.naturalWidth)).length,
  page: document.documentElement.scrollWidth,
  window: innerWidth,
};
document.body.innerHTML = "<pre>" + JSON.stringify(seen) + "</pre>";
</script>"""


@pytest.fixture(scope="module")
def browser():
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium is installed")
    return found


def page_of(model, y, cv, scoring, **options):
    X = np.random.default_rng(0).integers(0, 255, (len(y), 4, 4, 3)).astype(np.uint8)
    cv_results = cross_validate(
        make_pipeline(FunctionTransformer(flat), model),
        X,
        y,
        cv=cv,
        scoring=scoring,
        return_estimator=True,
        return_indices=True,
    )
    return CrossValidationReport.from_cv_results(cv_results, X, y, **options).to_html()


@pytest.fixture(scope="module")
def page():
    y = np.repeat(["a" * 60, "b", *(f"class {i}" for i in range(10))], 6)
    return page_of(LogisticRegression(), y, StratifiedKFold(3), ["accuracy"])


@pytest.fixture(scope="module")
def page_of_labels():
    y = (np.random.default_rng(0).random((60, 12)) < 0.4).astype(int)
    names = ["a" * 60, *(f"label {i}" for i in range(11))]
    scores = ["accuracy", "f1_macro"]
    return page_of(KNeighborsClassifier(3), y, KFold(3), scores, target_names=names)


@pytest.fixture(scope="module")
def page_of_numbers():
    y = np.random.default_rng(0).random((60, 3)) * [1e-6, 1, 1e7]
    names = ["a" * 60, "age", "weight"]
    return page_of(KNeighborsRegressor(3), y, KFold(3), ["r2"], target_names=names)


def flat(X):
    return X.reshape(len(X), -1) / 255


def opened(browser, folder, page, width):
    """Return the document once it is loaded, and what was written to the console."""
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    options = [
        "--headless",
        "--no-sandbox",  # as root, in a container
        "--disable-gpu",
        "--enable-logging=stderr",
        f"--user-data-dir={folder / 'profile'}",
        f"--window-size={width},900",
        "--dump-dom",
    ]
    done = subprocess.run(
        [browser, *options, path.as_uri()], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, re.findall(r".*CONSOLE.*", done.stderr)


def test_the_browser_reports_no_error(browser, page, tmp_path):
    # What the page may not load or run, by its own policy, would be an error, too.
    document, console = opened(browser, tmp_path, page, 1280)
    assert "What these numbers do not say" in document
    assert not console
    broken = page.replace("</main>", '<img src="https://example.org/x.png" alt="x"></main>')
    assert opened(browser, tmp_path, broken, 1280)[1]


@pytest.mark.parametrize(
    ("kind", "width"),  # headless Chromium opens no narrower window
    [("page", 500), ("page", 1280), ("page_of_labels", 500), ("page_of_numbers", 500)],
)
def test_images_are_there_and_the_page_fits(browser, request, tmp_path, kind, width):
    page = request.getfixturevalue(kind)
    probed = re.sub(r'<meta http-equiv="Content-Security-Policy".*?>', "", page)
    assert probed != page  # the policy would stop the probe
    document, console = opened(
        browser, tmp_path, probed.replace("</body>", PROBE + "</body>"), width
    )
    assert not console
    seen = json.loads(re.search(r"<pre>(.*)</pre>", document)[1])
    assert seen["images"] == page.count("<img ") > 12
    assert seen["missing"] == 0
    assert seen["page"] <= seen["window"]
