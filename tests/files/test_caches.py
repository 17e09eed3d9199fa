"""Each file is decoded once: in memory up to a budget, or in a folder, whatever happens there."""

import gc
import os
import pickle
import subprocess
import sys
import textwrap
import warnings
import zlib
from pathlib import Path

import joblib
import numpy as np
import pytest
from PIL import Image

import skimgcv
import skimgcv._files.disk_cache as on_disk
import skimgcv._files.memory_cache as decoded
import skimgcv._runtime.platform as platform
from skimgcv import ImageFiles, ImageReadError, clear_decoded_images
from skimgcv._files import reading
from skimgcv.exceptions import ImageCacheWarning

N = 40
SHAPE = (16, 12)
IMAGE_BYTES = 16 * 12 * 3
IMAGES = np.random.default_rng(0).integers(0, 256, (N, *SHAPE, 3)).astype(np.uint8)


@pytest.fixture
def paths(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(N)]
    for path, image in zip(paths, IMAGES, strict=True):
        Image.fromarray(image).save(path)
    return paths


@pytest.fixture(autouse=True)
def _empty_memory():
    clear_decoded_images()
    yield
    clear_decoded_images()


@pytest.fixture
def reads(monkeypatch):
    """Note each file that is opened."""
    opened, real = [], reading.read_file
    monkeypatch.setattr(reading, "read_file", lambda p: opened.append(p) or real(p))
    return opened


# The files' part of the package alone: TensorFlow takes seconds to import, six times over.
ALONE = f"""
    import sys, types
    package = sys.modules["skimgcv"] = types.ModuleType("skimgcv")
    package.__path__ = {skimgcv.__path__!r}
"""


def forget_what_is_open():
    """Be a process that has just begun."""
    on_disk._forget()


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_each_file_is_decoded_once_for_all_parts_and_lists(paths, reads, kind):
    paths = paths[:9]
    cache = "memory" if kind == "memory" else paths[0].parent / "cache"
    X = ImageFiles(paths, SHAPE, cache=cache)
    for rows in ([3, 1], [0, 1, 2, 3], slice(None), slice(None, None, -1)):
        np.testing.assert_array_equal(np.asarray(X[rows]), IMAGES[:9][rows])
    again = ImageFiles(paths[::-1], SHAPE, cache=cache)
    np.testing.assert_array_equal(np.asarray(again), IMAGES[:9][::-1])
    assert sorted(reads) == sorted(X.paths)


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_a_file_that_changes_is_decoded_anew(paths, kind):
    X = ImageFiles(paths, SHAPE, cache="memory" if kind == "memory" else paths[0].parent / "cache")
    np.asarray(X)
    Image.fromarray(IMAGES[5]).save(paths[4])
    os.utime(paths[4], ns=(0, 12345))
    np.testing.assert_array_equal(X[4], IMAGES[5])
    if kind == "folder":
        forget_what_is_open()
        np.testing.assert_array_equal(X[4], IMAGES[5])
    paths[4].unlink()
    with pytest.raises(ImageReadError, match="no such file"):
        X[4]


@pytest.mark.parametrize("kind", ["memory", "folder"])
@pytest.mark.parametrize(
    "other",
    [
        {"color_mode": "grayscale"},
        {"interpolation": "nearest"},
        {"keep_aspect_ratio": True},
        {"dtype": "uint16"},
        {"image_shape": (12, 16)},
    ],
)
def test_another_decoding_is_kept_apart(paths, kind, other):
    cache = "memory" if kind == "memory" else paths[0].parent / "cache"
    smaller = {"image_shape": (8, 8)} | other
    np.asarray(ImageFiles(paths[:3], (8, 8), cache=cache))
    kept = np.asarray(ImageFiles(paths[:3], cache=cache, **smaller))
    np.testing.assert_array_equal(kept, np.asarray(ImageFiles(paths[:3], cache=None, **smaller)))


def test_no_cache_decodes_each_time(paths, reads):
    X = ImageFiles(paths[:2], SHAPE, cache=None)
    np.asarray(X), np.asarray(X)
    assert len(reads) == 4
    assert decoded.memory.n_bytes == 0


# -- in memory --------------------------------------------------------------------------------


def test_memory_holds_what_the_budget_allows_and_keeps_it(paths, reads):
    X = ImageFiles(paths, SHAPE, cache=10 * IMAGE_BYTES + 5)
    np.asarray(X)
    assert decoded.memory.n_bytes == 10 * IMAGE_BYTES
    reads.clear()
    for _ in range(3):
        np.testing.assert_array_equal(np.asarray(X), IMAGES)
    assert len(reads) == 3 * (N - 10)


def test_without_a_number_a_share_of_what_is_free_is_used(paths, monkeypatch):
    monkeypatch.setattr(decoded, "free_bytes", lambda: 40 * IMAGE_BYTES)
    np.asarray(ImageFiles(paths, SHAPE))
    # 10 of 40; as they fill up, what is free would be less by as much.
    assert decoded.memory.n_bytes == 10 * IMAGE_BYTES


def test_lists_of_the_past_make_room_and_living_ones_do_not(paths):
    first = ImageFiles(paths[:10], SHAPE, cache=10 * IMAGE_BYTES)
    np.asarray(first)
    second = ImageFiles(paths[10:20], SHAPE, cache=10 * IMAGE_BYTES)
    np.asarray(second)
    shelf = next(iter(decoded.memory._shelves.values()))
    assert set(shelf) == set(first.paths)
    part, first = first[3:], None
    gc.collect()
    np.asarray(second)
    assert set(shelf) == set(part.paths) | {str(paths[i]) for i in range(3)}  # a part lives
    part = None
    gc.collect()
    np.asarray(second)
    shelf = next(iter(decoded.memory._shelves.values()))
    assert set(shelf) == set(second.paths)


def test_images_stay_for_the_next_copy_of_a_list(paths, reads):
    X = ImageFiles(paths, SHAPE)
    np.asarray(X)
    state = X.__reduce_ex__(4)
    del X
    gc.collect()
    reads.clear()
    copy = state[0](*state[1])
    copy.__dict__.update(state[2])
    np.testing.assert_array_equal(np.asarray(copy), IMAGES)
    assert not reads


def test_threads_may_share_the_memory(paths):
    X = ImageFiles(paths, SHAPE, cache=20 * IMAGE_BYTES)
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, N, 30) for _ in range(30)]
    results = joblib.Parallel(4, prefer="threads")(joblib.delayed(np.asarray)(X[r]) for r in rows)
    for r, images in zip(rows, results, strict=True):
        np.testing.assert_array_equal(images, IMAGES[r])
    assert decoded.memory.n_bytes == 20 * IMAGE_BYTES


# -- in a folder ------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "decoded images"


def the_file(folder, suffix):
    (path,) = folder.glob(f"*{suffix}")
    return path


def fill(paths, folder, images=IMAGES):
    X = ImageFiles(paths, SHAPE, cache=folder)
    np.testing.assert_array_equal(np.asarray(X), images)
    return X


def test_another_process_reads_what_one_has_decoded(paths, folder, reads):
    X = fill(paths, folder)
    script = f"""
        import pickle, zlib
        import numpy as np
        from skimgcv._files import reading
        X = pickle.loads({pickle.dumps(X)!r})
        def refuse(path):
            raise AssertionError(path)
        reading.read_file = refuse
        print(zlib.crc32(np.asarray(X).data))
    """
    script = textwrap.dedent(ALONE) + textwrap.dedent(script)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == zlib.crc32(IMAGES.data)


def test_images_are_read_from_a_memory_map(paths, folder):
    fill(paths, folder)
    forget_what_is_open()
    X = fill(paths, folder)
    assert isinstance(on_disk.decoded_on_disk(str(folder), X._decoding)._map, np.memmap)


def test_pixels_that_were_changed_behind_its_back_are_decoded_anew(paths, folder, reads):
    fill(paths, folder)
    with the_file(folder, ".pixels").open("r+b") as file:
        file.seek(7 * IMAGE_BYTES + 100)
        file.write(b"wrong pixels")
    for expected in ([str(paths[7])], []):  # once
        forget_what_is_open()
        reads.clear()
        fill(paths, folder)
        assert reads == expected


@pytest.mark.parametrize("lost", [1, 39, 40, 41, 40 * N])
def test_an_index_that_ends_early_costs_decoding_and_no_pixel(paths, folder, lost, reads):
    fill(paths, folder)
    index = the_file(folder, ".index")
    os.truncate(index, index.stat().st_size - lost)
    for n_read in (-(-lost // 40), 0):
        forget_what_is_open()
        reads.clear()
        fill(paths, folder)
        assert len(reads) == n_read


@pytest.mark.parametrize(("left", "lost"), [(0, 40), (1, 40), (5 * IMAGE_BYTES + 7, 35)])
def test_pixels_that_end_early_are_decoded_anew(paths, folder, left, lost, reads):
    fill(paths, folder)
    os.truncate(the_file(folder, ".pixels"), left)
    for n_read in (lost, 0):
        forget_what_is_open()
        reads.clear()
        fill(paths, folder)
        assert len(reads) == n_read


@pytest.mark.parametrize("suffix", [".index", ".pixels"])
def test_zeros_and_noise_in_its_files_are_no_images(paths, folder, suffix):
    fill(paths, folder)
    path = the_file(folder, suffix)
    size = path.stat().st_size
    for content in (bytes(size), np.random.default_rng(1).bytes(size)):
        path.write_bytes(content)
        forget_what_is_open()
        fill(paths, folder)


def test_a_full_disk_is_told_once_and_reading_goes_on(paths, folder, monkeypatch):
    real, room = platform._write_some, [10 * IMAGE_BYTES + 7]

    def write_some(file, data, offset):
        if room[0] < len(data):
            if not room[0]:
                raise OSError(28, "No space left on device")
            data = data[: room[0]]  # as the system does: what fits, and then the error
        room[0] -= len(data)
        return real(file, data, offset)

    monkeypatch.setattr(platform, "_write_some", write_some)
    X = ImageFiles(paths, SHAPE, cache=folder)
    with pytest.warns(ImageCacheWarning, match="No space left on device") as caught:
        read = [np.asarray(X) for _ in range(3)]
    np.testing.assert_array_equal(read, [IMAGES] * 3)
    assert len(caught) == 1
    monkeypatch.undo()
    forget_what_is_open()
    fill(paths, folder)


def test_a_folder_that_may_only_be_read_is_read(paths, folder, monkeypatch, reads):
    fill(paths[:5], folder, IMAGES[:5])
    forget_what_is_open()
    reads.clear()
    real = os.open

    def refuse(path, flags, *mode, **options):
        if flags & (os.O_RDWR | os.O_CREAT):
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *mode, **options)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.warns(ImageCacheWarning, match="Permission denied"):
        fill(paths[:6], folder, IMAGES[:6])
    assert reads == [str(paths[5])]


def test_a_folder_that_cannot_be_made_is_an_error(paths, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        np.asarray(ImageFiles(paths, SHAPE, cache=tmp_path / "file" / "cache"))


@pytest.mark.skipif(os.name == "nt", reason="Windows does not delete what is open")
def test_a_folder_that_is_deleted_meanwhile_hurts_nobody(paths, folder):
    X = ImageFiles(paths, SHAPE, cache=folder)
    np.asarray(X[:10])
    for path in folder.iterdir():
        path.unlink()
    for _ in range(2):
        np.testing.assert_array_equal(np.asarray(X), IMAGES)


FILLING = """
    import warnings
    import numpy as np, psutil
    if {elsewhere}:
        sys.path.insert(0, {tests!r})
        import elsewhere, joblib, cv2, PIL.Image
        elsewhere.hide()
    from skimgcv._files.image_files import ImageFiles
    from skimgcv._runtime import platform
    warnings.simplefilter("error")
    paths, folder, killed_at, seed = {paths!r}, {folder!r}, {killed_at}, {seed}
    real, written = platform._write_some, 0
    def write_some(file, data, offset):
        global written
        for part in range(0, len(data), 100):
            if written >= killed_at:
                psutil.Process().kill()
            n = len(data[part : part + 100])
            real(file, data[part : part + 100], offset + part)
            written += n
        return len(data)
    platform._write_some = write_some
    X = ImageFiles(paths, {shape}, cache=folder)
    for _ in range(3):
        order = np.random.default_rng(seed).permutation(len(X))
        for start in range(0, len(X), 4):
            np.asarray(X[order[start : start + 4]])
"""


def filling(paths, folder, killed_at=1 << 40, seed=0, elsewhere=False):
    script = FILLING.format(
        paths=list(map(str, paths)),
        folder=str(folder),
        killed_at=killed_at,
        seed=seed,
        shape=SHAPE,
        elsewhere=elsewhere,
        tests=str(Path(__file__).parents[1]),
    )
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(ALONE + script)])


# A batch of 4 is 2304 bytes of pixels and 160 of records: in the first pixels, between the
# two, in the records (which are not written whole), and in a later batch.
@pytest.mark.parametrize("killed_at", [1000, 2304, 2404, 9000])
@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "elsewhere"])
def test_a_process_killed_while_it_fills_leaves_no_wrong_pixel(
    paths, folder, killed_at, elsewhere
):
    assert filling(paths, folder, killed_at, elsewhere=elsewhere).wait() != 0
    assert the_file(folder, ".pixels").stat().st_size > 0
    fill(paths, folder)
    forget_what_is_open()
    fill(paths, folder)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "elsewhere"])
def test_processes_that_fill_at_once_write_each_image_once(paths, folder, elsewhere):
    workers = [filling(paths, folder, seed=seed, elsewhere=elsewhere) for seed in range(2)]
    assert [worker.wait() for worker in workers] == [0, 0]
    fill(paths, folder)
    assert the_file(folder, ".index").stat().st_size == N * on_disk._RECORD.itemsize


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_after_a_fork_the_child_opens_its_own(paths, folder):
    X = fill(paths[:10], folder, IMAGES[:10])
    with warnings.catch_warnings():
        # Python warns of forks in a process with threads: that is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        right = np.array_equal(np.asarray(X), IMAGES[:10])
        os._exit(0 if right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    fill(paths, folder)


def test_the_example_of_a_folder_is_made_with_its_parents(paths, tmp_path):
    fill(paths[:1], tmp_path / "a" / "b", IMAGES[:1])
    assert len(list(Path(tmp_path, "a", "b").iterdir())) == 2
