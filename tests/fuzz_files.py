"""Damage saved classifiers at random: each must load as it was, or be refused in clear words.

python tests/fuzz_files.py 5000
"""

import collections
import contextlib
import io
import json
import os
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np

from skimgcv import AugmentedKerasClassifier
from skimgcv.exceptions import SavedFileError

KIND = "skimgcv classifier"
DOCUMENTS = ("parameters.json", "fitted.json")


# -- what may happen to a file: bytes and a generator in, bytes out --------------------------


def flip_bits(data, rng):
    data = bytearray(data)
    for place in rng.integers(len(data), size=rng.integers(1, 9)):
        data[place] ^= 1 << int(rng.integers(8))
    return bytes(data)


def truncate(data, rng):
    return data[: rng.integers(len(data))]


def overwrite(data, rng):
    start = int(rng.integers(len(data)))
    length = int(rng.integers(1, 200))
    return data[:start] + rng.bytes(length) + data[start + length :]


def append(data, rng):
    return data + rng.bytes(int(rng.integers(1, 5000)))


def _rezip(data, change):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [[name, archive.read(name), zipfile.ZIP_STORED] for name in archive.namelist()]
    change(entries)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # two entries of one name: that is meant
        for name, content, compression in entries:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return out.getvalue()


NAMES = (
    "../../evil",
    "/tmp/evil",
    "..\\evil",
    "arrays/../evil",
    "a" * 300,
    "CON",
    "evil.py",
    "x\0y",
)


def rename(data, rng):
    def change(entries):
        entries[rng.integers(len(entries))][0] = str(rng.choice(NAMES))

    return _rezip(data, change)


def add_entry(data, rng):
    def change(entries):
        entries.append([str(rng.choice(NAMES)), rng.bytes(10), zipfile.ZIP_STORED])

    return _rezip(data, change)


def drop_or_repeat(data, rng):
    def change(entries):
        place = rng.integers(len(entries))
        if rng.random() < 0.5:
            del entries[place]
        else:
            entries[place] = list(entries[rng.integers(len(entries))])

    return _rezip(data, change)


def swap(data, rng):
    def change(entries):
        a, b = rng.integers(len(entries), size=2)
        entries[a][1], entries[b][1] = entries[b][1], entries[a][1]

    return _rezip(data, change)


def bomb(data, rng):
    def change(entries):
        place = rng.integers(len(entries))
        entries[place][1] = bytes(int(rng.integers(1 << 20, 1 << 22)))
        entries[place][2] = zipfile.ZIP_DEFLATED

    return _rezip(data, change)


def claim_size(data, rng):
    """Let the archive's directory say that an entry is as large as can be."""
    place = data.find(b"PK\x01\x02", int(rng.integers(len(data))))
    if place < 0:
        place = data.find(b"PK\x01\x02")
    data = bytearray(data)
    data[place + 20 : place + 28] = rng.choice([b"\xff\xff\xff\x7f" * 2, b"\xff" * 8, bytes(8)])
    return bytes(data)


# -- forgeries: the checksums agree ------------------------------------------------------------


def _forge(data, change):
    from skimgcv._persistence.archive import read_archive, write_archive

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "forged"
        path.write_bytes(data)
        documents, arrays = read_archive(path, KIND, DOCUMENTS)
        change(documents, arrays)
        write_archive(
            path, KIND, dict(zip(DOCUMENTS, documents, strict=True)), arrays, packages={}
        )
        return path.read_bytes()


def _places(document):
    """List (container, key) of every value in a JSON document."""
    if isinstance(document, dict):
        keys = list(document)
    elif isinstance(document, list):
        keys = list(range(len(document)))
    else:
        return []
    return [(document, k) for k in keys] + [p for k in keys for p in _places(document[k])]


VALUES = (
    *(None, True, -1, 0, 10**12, 0.5, "", "x", "../../evil", [], {}, [[]], "os", "__import__"),
    {"type": "reference", "name": "system", "kind": "os.system"},
    {"type": "dict", "items": [[[], 1]]},
    {"type": "augmenter", "class": {"name": "system", "kind": "os.system"}, "config": {}},
    {"type": "CallableAugmenter", "function": {"type": "reference", "name": "x", "kind": "x"}},
    {"type": "LayerAugmenter", "layer": "os"},
    {"class_name": "__lambda__", "config": {"value": "x"}, "module": "builtins"},
    {"class_name": "Popen", "module": "subprocess", "config": {"args": "touch evil"}},
    {"class_name": "function", "module": "os", "config": "system", "registered_name": "system"},
)


def forge_value(data, rng):
    def change(documents, arrays):
        places = _places(documents)
        container, key = places[rng.integers(len(places))]
        container[key] = VALUES[rng.integers(len(VALUES))]

    return _forge(data, change)


def forge_key(data, rng):
    def change(documents, arrays):
        places = [(c, k) for c, k in _places(documents) if isinstance(c, dict)]
        container, key = places[rng.integers(len(places))]
        container[str(rng.choice(["type", "class_name", "__class__", "predict", "x"]))] = (
            container.pop(key)
        )

    return _forge(data, change)


def forge_array(data, rng):
    def change(documents, arrays):
        place = rng.integers(len(arrays))
        arrays[place] = [
            np.zeros(3),
            np.array("text"),
            np.zeros((0, 4), np.float32),
            arrays[place].astype("f2"),
            np.full_like(arrays[place], 1),
            arrays[place][..., None],
        ][rng.integers(6)]

    return _forge(data, change)


def forge_header(data, rng):
    """Let an array's header claim another shape or dtype, as the manifest's checksum has it."""
    import hashlib

    def change(entries):
        manifest = json.loads(entries[0][1])
        place = int(rng.integers(3, len(entries)))
        content = bytearray(entries[place][1])
        shape = [b"(9999999999,)", b"(-1,)", b"(1,) * 9**9", b"()"][rng.integers(4)]
        header = b"{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (
            [b"|O", b"<f4", b"|V9", b"<M8", b"<f4', 'x': '"][rng.integers(5)],
            shape,
        )
        content[10:128] = header.ljust(117) + b"\n"
        entries[place][1] = bytes(content)
        manifest["entries"][place - 1]["sha256"] = hashlib.sha256(content).hexdigest()
        manifest["entries"][place - 1]["bytes"] = len(content)
        entries[0][1] = json.dumps(manifest).encode()

    return _rezip(data, change)


FORBIDDEN = {
    *("os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.startfile"),
    *("os.mkdir", "os.remove", "os.rename", "os.link", "os.symlink", "os.truncate", "os.putenv"),
    *("subprocess.Popen", "socket.connect", "socket.bind", "ctypes.dlopen", "shutil.copyfile"),
    *("pickle.find_class", "webbrowser.open", "builtins.input"),
}


class Watch:
    """Notes what Python reports to auditors that no reader of plain data has to do."""

    def __init__(self):
        self.seen = None
        sys.addaudithook(self._hear)  # for good: Python takes none away

    def _hear(self, event, arguments):
        if self.seen is None:
            return
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
        # Python's own imports, which Keras leaves for when they are needed, come from its files.
        code = event == "exec" and not os.path.exists(arguments[0].co_filename)
        if event in FORBIDDEN or writes or code:
            self.seen.append((event, str(arguments)[:200]))

    @contextlib.contextmanager
    def watching(self):
        self.seen = []
        try:
            yield self.seen
        finally:
            self.seen = None


WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
watch = Watch()

DAMAGES = (
    flip_bits,
    truncate,
    overwrite,
    append,
    rename,
    add_entry,
    drop_or_repeat,
    swap,
    bomb,
    claim_size,
    forge_value,
    forge_key,
    forge_array,
    forge_header,
)


def run(original, folder, *, cases, seed, X, report=None):
    """Load ``cases`` damaged copies of a file; count what came of them.

    What loads must predict as the original does, unless its own values were forged.
    """
    data = Path(original).read_bytes()
    expected = AugmentedKerasClassifier.load(original).predict_proba(X)
    folder = Path(folder)
    counts = collections.Counter()
    home = os.getcwd()
    for case in range(cases):
        rng = np.random.default_rng([seed, case])
        damage = DAMAGES[case % len(DAMAGES)]
        path = folder / "damaged"
        path.write_bytes(damage(data, rng))
        try:
            with watch.watching() as seen:
                loaded = AugmentedKerasClassifier.load(path)
        except SavedFileError:
            outcome = "SavedFileError"
        except Exception as error:
            outcome = f"{type(error).__name__} ({damage.__name__}, case {case}: {error})"
        else:
            if damage.__name__.startswith("forge"):
                outcome = "loaded as forged"
            elif np.array_equal(loaded.predict_proba(X), expected):
                outcome = "equal"
            else:
                outcome = f"different ({damage.__name__}, case {case})"
        assert not seen, f"case {case} ({damage.__name__}) did {seen}"
        counts[outcome] += 1
        if report is not None:
            report[damage.__name__][outcome] += 1
        path.unlink()
        assert not list(folder.iterdir()), f"case {case} left a file"
        assert os.getcwd() == home
    return counts


def main(cases):
    import keras

    def build(meta):
        return keras.Sequential(
            [
                keras.layers.Input(meta["image_shape_"]),
                keras.layers.Flatten(),
                keras.layers.Dense(meta["n_classes_"], activation="softmax"),
            ]
        )

    rng = np.random.default_rng(0)
    X, y = rng.random((12, 4, 4, 1)), np.arange(12) % 3
    report = collections.defaultdict(collections.Counter)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as work:
        original = Path(folder) / "original"
        AugmentedKerasClassifier(build, random_state=0).fit(X, y).save(original)
        run(original, work, cases=cases, seed=1, X=X, report=report)
    print(f"{'damage':16}outcomes of {cases} cases")
    for damage, outcomes in report.items():
        print(f"{damage:16}" + ", ".join(f"{n} {what}" for what, n in outcomes.items()))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
