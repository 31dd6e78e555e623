"""A disk that ends within a file: whatever writes it, one line says so, and no part of an output appears."""

from __future__ import annotations

import errno
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from random_model import random_model

from ncf.artifacts.arrays import save_array
from ncf.artifacts.dataset import Dataset
from ncf.artifacts.model_folder import ModelFolder
from ncf.stage.command import main
from ncf.stage.exits import reason_of
from ncf.staged_output import staged


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A limit on the size of a file, for this process: writing beyond it fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


ARRAY = np.arange(10_000, dtype=np.int64)


@pytest.mark.parametrize("missing", [1, 100, 5000, 60_000, 80_100])
@pytest.mark.parametrize("array", [ARRAY, ARRAY.reshape(100, 100).T, ARRAY[::2]], ids=["rows", "columns", "strided"])
def test_an_array_is_never_cut_in_silence(tmp_path: Path, array: np.ndarray, missing: int) -> None:
    save_array(tmp_path / "whole.npy", array)
    assert (np.load(tmp_path / "whole.npy") == array).all()
    size = (tmp_path / "whole.npy").stat().st_size
    with files_of_at_most(max(0, size - missing)), pytest.raises(OSError, match="File too large") as raised:
        save_array(tmp_path / "cut.npy", array)
    assert reason_of(raised.value) == "output: File too large"


@pytest.fixture
def model() -> ModelFolder:
    return random_model(n_users=200, n_items=300)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_model_is_written_whole_or_not_at_all(model: ModelFolder, tmp_path: Path, share: float) -> None:
    model.save(tmp_path / "whole", {}, {})
    sizes = sorted({path.stat().st_size for path in (tmp_path / "whole").iterdir()})
    for size in sizes[-8:]:
        with (
            files_of_at_most(int(share * size) if share else size - 1),
            pytest.raises(OSError, match="File too large") as raised,
            staged(tmp_path / "model") as folder,
        ):
            model.save(folder, {}, {})
        assert raised.value.errno == errno.EFBIG
        assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_a_dataset_is_written_whole_or_not_at_all(make_dataset: Callable[..., Path], tmp_path: Path) -> None:
    source = make_dataset()
    data = Dataset.load(source)
    for path in sorted(source.iterdir()):
        with (
            files_of_at_most(path.stat().st_size - 1),
            pytest.raises(OSError, match="File too large"),
            staged(tmp_path / "copy") as folder,
        ):
            data.save(folder, {"seed": 0}, {"fingerprint": "random-0"})
        assert not (tmp_path / "copy").exists()


def test_a_stage_ends_with_one_line_and_status_2(make_dataset: Callable[..., Path], tmp_path: Path, capsys) -> None:
    dataset, samples = make_dataset(), tmp_path / "samples"
    with files_of_at_most(4000), pytest.raises(SystemExit) as ended:
        main(["negative-sampling", "--dataset", str(dataset), "--samples", str(samples)])
    assert ended.value.code == 2
    *_, line = capsys.readouterr().err.strip().splitlines()
    assert line == "ncf: error: output: File too large; nothing was written"
    assert not samples.exists()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError("262144 requested and 2032 written"), "output: No space left on device"),
        (OSError("problem writing element 8192 to file"), "output: No space left on device"),
        (OSError(errno.ENOSPC, "No space left on device"), "output: No space left on device"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "a/b"), "a/b: Disk quota exceeded"),
        (OSError(errno.EROFS, "Read-only file system"), "output: Read-only file system"),
        (OSError(errno.EIO, "Input/output error"), "output: Input/output error"),
        (OSError(errno.EPIPE, "Broken pipe"), ""),
        (OSError("something else"), ""),
        (ValueError("262144 requested and 2032 written"), ""),
    ],
)
def test_errors_of_a_disk_are_distinguished_from_others(error: Exception, reason: str) -> None:
    assert reason_of(error) == reason
