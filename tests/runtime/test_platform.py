"""All of it works, with the same bits, where the names are missing that Windows and macOS lack."""

import io
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from skimgcv._runtime import platform

TESTS = Path(__file__).parents[1]
SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
import cv2, keras, sklearn.model_selection, scikeras.wrappers
from pathlib import Path
import numpy as np
from elsewhere import hide
from builders import cnn
from samples import blobs
from sklearn.model_selection import cross_val_predict

folder, hidden = Path(sys.argv[2]), sys.argv[3] == "hidden"
if hidden:
    hide()
    from skimgcv._runtime import memory
    memory._MEMINFO = memory._OWN_GROUPS = Path("nowhere")
from skimgcv import AugmentedKerasClassifier, ImageAugmenter, load_images

X, y = blobs(n=30, shape=(8, 8, 3))
X = (X.clip(0, 1) * 255).astype(np.uint8)
for row, (image, label) in enumerate(zip(X, y)):
    (folder / "images" / str(label)).mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / "images" / str(label) / f"{row:02}.png"), image)
np.save(folder / "mapped.npy", X)
augmenter = ImageAugmenter(rotation_range=20, horizontal_flip=True, featurewise_center=True)
est = AugmentedKerasClassifier(
    cnn, augmenter=augmenter, validation_split=0.2, epochs=2, batch_size=8, random_state=0
)

def scores(X, y):
    return cross_val_predict(est, X, y, cv=2, method="predict_proba").tolist()

found = {"array": scores(X, y), "map": scores(np.load(folder / "mapped.npy", "r"), y)}
for name, cache in {"in memory": "memory", "on disk": folder / "cache"}.items():
    files = load_images(folder / "images", (8, 8), cache=cache)
    found[name] = scores(*files)
    found[name + ", again"] = scores(*files)
est.fit(X, y, checkpoint_dir=folder / "checkpoints").save(folder / "saved.skimgcv")
found["fitted"] = est.predict_proba(X).tolist()
loaded = AugmentedKerasClassifier.load(folder / "saved.skimgcv")
found["loaded"] = loaded.predict_proba(X).tolist()
print(json.dumps(found))
"""


def run(folder, names):
    folder.mkdir()
    arguments = [sys.executable, "-W", "error:::skimgcv", "-c", SCRIPT, TESTS, folder, names]
    ran = subprocess.run(list(map(str, arguments)), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.slow
def test_fits_files_and_saving_give_the_same_bits(tmp_path):
    here, there = run(tmp_path / "here", "all"), run(tmp_path / "there", "hidden")
    assert there == here
    assert there["map"] == there["array"]
    assert there["in memory"] == there["on disk"] == there["on disk, again"]
    assert there["loaded"] == there["fitted"]


def test_one_file_knows_what_other_systems_lack():
    package = Path(platform.__file__).parents[1]
    names = ("fcntl", "register_at_fork", "pread", "pwrite", "O_CLOEXEC", "MADV_", r"sysconf\b")
    for path in package.rglob("*.py"):
        if path.name != "platform.py":
            code = path.read_text(encoding="utf-8")
            assert not re.findall(rf"\b({'|'.join(names)})", code), path


@pytest.fixture(params=["here", "elsewhere"])
def file(request, tmp_path, monkeypatch):
    if request.param == "elsewhere":
        for name in ("pread", "pwrite"):
            monkeypatch.delattr(os, name, raising=False)
        monkeypatch.setattr(platform, "_fcntl", None)
    file = platform.open_file(str(tmp_path / "file"), os.O_RDWR | os.O_CREAT)
    yield file
    os.close(file)


def test_bytes_are_read_where_they_were_written(file, tmp_path):
    written = io.BytesIO()
    for data, offset in [(b"\r\n" * 5, 0), (b"middle", 3), (b"beyond", 40)]:
        platform.write_at(file, data, offset)
        written.seek(offset)
        written.write(data)
    assert platform.read_at(file, 100, 0) == written.getvalue() == (tmp_path / "file").read_bytes()
    assert platform.read_at(file, 5, 38) == b"\0\0bey"


def test_a_lock_keeps_others_out_and_dies_with_its_holder(file, tmp_path):
    holding = f"""
import os, sys
sys.path.insert(0, {str(TESTS.parent)!r})
from skimgcv._runtime import platform
if {platform._fcntl is None}:
    platform._fcntl = None
file = os.open({str(tmp_path / "file")!r}, os.O_RDWR)
with platform.locked({str(tmp_path / "lock")!r}, file):
    print("locked", flush=True)
    sys.stdin.readline()
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", holding], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "locked\n"

    def lock():
        with platform.locked(str(tmp_path / "lock"), file):
            pass

    waiting = threading.Thread(target=lock)
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    holder.kill()
    waiting.join(60)
    assert not waiting.is_alive()
    holder.communicate()


def test_images_of_numpy_stay_readable_after_their_pages_are_given_back(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(5000))
    mapped = np.load(tmp_path / "a.npy", "r")
    platform.release_pages(mapped._mmap)
    np.testing.assert_array_equal(mapped, np.arange(5000))
