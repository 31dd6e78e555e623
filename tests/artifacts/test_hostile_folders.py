"""Dataset, samples and model folders made to do harm: one line names the file, nothing outside is read, nothing waits."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_model import random_model

from ncf.artifacts import manifest
from ncf.artifacts.dataset import Dataset
from ncf.artifacts.model_folder import ModelFolder
from ncf.artifacts.samples import Samples
from ncf.artifacts.strings import Strings
from ncf.artifacts.untrusted_files import UntrustedFiles
from ncf.errors import InputError
from ncf.stage.command import main

LOADERS: dict[str, Callable[[Path], Any]] = {
    "dataset": Dataset.load,
    "samples": Samples.load,
    "model": ModelFolder.load,
}
ONE_FILE = {"dataset": "train_items.npy", "samples": "test_candidates.npy", "model": "popularity.npy"}


@pytest.fixture(autouse=True)
def nothing_waits() -> Iterator[None]:
    """A pipe or an endless device that is read ends the test."""

    def give_up(*_: object) -> None:
        pytest.fail("the folder is read without end")  # a TimeoutError would be an OSError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, 5)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(params=LOADERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(kind: str, tmp_path: Path, make_dataset: Callable[..., Path]) -> Path:
    if kind == "model":
        random_model().save(tmp_path / "model", {}, {})
        return tmp_path / "model"
    source = make_dataset()
    if kind == "dataset":
        return source
    data = Dataset.load(source)
    few = np.zeros((data.n_users, 4), np.int32)
    samples = Samples(data.n_users, data.n_items, data.validation, few, data.test, few, data.train.in_order())
    samples.save(tmp_path / "samples", {})
    return tmp_path / "samples"


def link_to_copy(path: Path) -> None:
    path.rename(path.parent.parent / "copy")
    path.symlink_to(path.parent.parent / "copy")


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("/nowhere")


def link_to_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def sock(path: Path) -> None:
    path.unlink()
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket is short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


NOT_REGULAR = {
    "link": (link_to_copy, "is a symbolic link; expected a regular file"),
    "dangling link": (dangling, "is a symbolic link; expected a regular file"),
    "device": (link_to_device, "is a symbolic link; expected a regular file"),
    "pipe": (pipe, "is a pipe; expected a regular file"),
    "socket": (sock, "is a socket; expected a regular file"),
    "folder": (directory, "is a folder; expected a regular file"),
}


@pytest.mark.parametrize("case", NOT_REGULAR)
@pytest.mark.parametrize("which", ["manifest", "file"])
def test_what_is_no_regular_file_is_refused(kind: str, folder: Path, which: str, case: str) -> None:
    change, message = NOT_REGULAR[case]
    name = manifest.FILE_NAME if which == "manifest" else ONE_FILE[kind]
    change(folder / name)
    with pytest.raises(InputError, match=f"{name}: {message}"):
        LOADERS[kind](folder)


def test_a_folder_below_that_is_a_link_is_refused(kind: str, folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (folder / "below").mkdir()
    shutil.copy(outside / "secret", folder / "below" / "secret")
    resign(kind, folder)
    LOADERS[kind](folder)
    shutil.rmtree(folder / "below")
    (folder / "below").symlink_to(outside)
    with pytest.raises(InputError, match=r"below: is a symbolic link"):
        LOADERS[kind](folder)


def test_the_folder_itself_may_be_a_link(kind: str, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    LOADERS[kind](tmp_path / "link")


def resign(kind: str, folder: Path) -> None:
    """Write the manifest anew, as someone would who knows how manifests are made."""
    before = json.loads((folder / manifest.FILE_NAME).read_text())
    (folder / manifest.FILE_NAME).unlink()
    manifest.write(folder, kind, before["counts"], before["parameters"], before["source"])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("days.npy", "dataset"),
        ("item_titles.bytes.npy", "dataset"),
        ("test.npy", "samples"),
        ("seen_days.npy", "model"),
    ],
)
def test_a_file_that_the_manifest_does_not_list_is_not_read(name: str, kind: str, folder: Path) -> None:
    content = json.loads((folder / manifest.FILE_NAME).read_text())
    required = content["files"].pop(name, None) and name == "test.npy"
    (folder / name).write_bytes(b"hostile")
    (folder / manifest.FILE_NAME).write_text(json.dumps(content))
    if required:
        with pytest.raises(InputError, match=r"test\.npy: not in manifest\.json"):
            LOADERS[kind](folder)
    else:
        LOADERS[kind](folder)


def text(old: str, new: str) -> Callable[[str], str]:
    return lambda content: content.replace(old, new, 1)


TAMPERED: dict[str, Callable[[str], str | bytes]] = {
    "empty": lambda _: "",
    "no JSON": lambda _: "{",
    "a list": lambda _: "[]",
    "a number": lambda _: "1e999",
    "a text": lambda _: '"manifest"',
    "not UTF-8": lambda content: content.encode() + b"\xff",
    "UTF-16": lambda content: content.encode("utf-16"),
    "deep": lambda _: "[" * 100_000,
    "deep objects": text('"parameters": {', '"parameters": {"a": ' + '{"a": ' * 5000 + "1" + "}" * 5000 + ","),
    "large": lambda content: content + " " * (17 << 20),
    "a huge size": text('"bytes": ', '"bytes": 1e999, "x": '),
    "a huge integer": text('"bytes": ', f'"bytes": {"9" * 5000}, "x": '),
    "a large integer": text('"bytes": ', f'"bytes": {"9" * 4000}, "x": '),
    "a negative size": text('"bytes": ', '"bytes": -'),
    "a size that is a text": text('"bytes": ', '"bytes": "1", "x": '),
    "NaN": text('"source": {', '"source": {"a": NaN, '),
    "infinite": text('"source": {', '"source": {"a": -Infinity, '),
    "overflow": text('"source": {', '"source": {"a": 1e999, '),
    "a surrogate": text('"source": {', r'"source": {"a": "\ud800", '),
    "a surrogate as name": text('"files": {', r'"files": {"\udfff": {"bytes": 1, "sha256": ""}, '),
    "a surrogate as kind": text('"kind": "', r'"kind": "\ud800'),
    "a repeated key": text('"source": {', '"files": {}, "source": {'),
    "a null byte": text('"files": {', r'"files": {"a\u0000b": {"bytes": 1, "sha256": ""}, '),
    "an escape": text('"files": {', r'"files": {"a\u001b[2Jb": {"bytes": 1, "sha256": ""}, '),
    "no name": text('"files": {', '"files": {"": {"bytes": 1, "sha256": ""}, '),
    "a dot": text('"files": {', '"files": {".": {"bytes": 1, "sha256": ""}, '),
    "above": text('"files": {', '"files": {"../x": {"bytes": 1, "sha256": ""}, '),
    "above inside": text('"files": {', '"files": {"a/../../x": {"bytes": 1, "sha256": ""}, '),
    "absolute": text('"files": {', '"files": {"/etc/passwd": {"bytes": 1, "sha256": ""}, '),
    "no files": text('"files": {', '"files": null, "x": {'),
    "files a list": text('"files": {', '"files": [], "x": {'),
    "a file a number": text('"files": {', '"files": {"x": 1, '),
    "no sum": text('"sha256": "', '"x": "'),
    "a sum a number": text('"sha256": "', '"sha256": 1, "x": "'),
    "counts a list": text('"counts": {', '"counts": [], "x": {'),
    "a count a text": text('"users": ', '"users": "1", "x": '),
    "a count negative": text('"users": ', '"users": -'),
    "a count true": text('"users": ', '"users": true, "x": '),
    "another count": text('"users": ', '"users": 9'),
    "parameters a list": text('"parameters": {', '"parameters": [], "x": {'),
    "source a text": text('"source": {', '"source": "x", "y": {'),
    "source null": text('"source": {', '"source": null, "y": {'),
    "kind a list": text('"kind": "', '"kind": ["x"], "x": "'),
    "kind long": text('"kind": "', '"kind": "' + "x" * 100_000),
    "version a list": text('"schema_version": ', '"schema_version": [], "x": '),
    "version huge": text('"schema_version": ', '"schema_version": ' + "9" * 4000),
    "no version": text('"schema_version": ', '"x": '),
    "version true": text('"schema_version": 1', '"schema_version": true'),
    "version a float": text('"schema_version": 1', '"schema_version": 1.0'),
    "no count": text('"users": ', '"x": '),
    "a long name": text('"files": {', '"files": {"' + "x" * 100_000 + '": {"bytes": 1, "sha256": ""}, "x": 1, '),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_a_tampered_manifest_is_refused_in_one_line(kind: str, folder: Path, case: str) -> None:
    path = folder / manifest.FILE_NAME
    before = path.read_text()
    after = TAMPERED[case](before)
    assert after != before
    path.write_bytes(after if isinstance(after, bytes) else after.encode())
    with pytest.raises(InputError, match=r"manifest\.json: |30 users; expected 930") as refused:
        LOADERS[kind](folder)
    message = str(refused.value).removeprefix(str(folder))
    assert message.isprintable()
    assert len(message) < 600


@pytest.mark.parametrize("field", ["kind", "schema_version", "counts", "parameters", "source", "files"])
def test_a_missing_field_of_a_manifest_is_named(kind: str, folder: Path, field: str) -> None:
    path = folder / manifest.FILE_NAME
    content = json.loads(path.read_text())
    del content[field]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"manifest\.json: not a manifest of a {kind} folder: '{field}' is missing$"):
        LOADERS[kind](folder)


def array(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        np.save(folder / name, change(np.load(folder / name)))

    return write


def strings(name: str, change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        Strings.of(change(list(UntrustedFiles.of(folder, LISTED).strings(name)))).save(folder, name)

    return write


LISTED = [f"{name}.{part}.npy" for name in ("user_ids", "item_ids", "item_titles") for part in ("bytes", "offsets")]
REPEATED = [
    (strings("user_ids", lambda ids: ["u1", *ids[1:]]), r"user_ids\.bytes\.npy: 'u1' is given more than once"),
    (strings("item_ids", lambda ids: [ids[-1]] * len(ids)), r"item_ids\.bytes\.npy: 'i\d+' is given more than once"),
    (strings("item_ids", lambda ids: ["é" * 513, *ids[1:]]), r"item_ids\.bytes\.npy: string 0 has 513 .*512 at most"),
]
WRONG_ARRAYS = {
    "dataset": [
        (array("test.npy", lambda a: a.astype(np.int64)), r"test\.npy: int64 .*expected int32 with two dimensions"),
        (array("test.npy", lambda a: a.astype(float)), r"test\.npy: float64"),
        (array("test.npy", lambda a: a[::-1]), r"test\.npy: users are not sorted"),
        (array("test.npy", lambda a: a[:-1]), r"manifest\.json: counts\.test is 30; the files have 29"),
        (array("validation.npy", lambda a: a.ravel()), r"validation\.npy: int32 \[60\]; expected"),
        (array("train_items.npy", lambda a: a.astype(np.uint32)), r"train_items\.npy: uint32"),
        (array("train_offsets.npy", lambda a: a.astype(np.int32)), r"train_offsets\.npy: int32"),
        (array("train_offsets.npy", lambda a: np.sort(a)[[0, 2, 1, *range(3, 31)]]), r"train_offsets\.npy: .* rise"),
        (array("user_ids.bytes.npy", lambda a: a | 128), r"user_ids\.bytes\.npy: not UTF-8"),
        (array("user_ids.offsets.npy", lambda a: a[::-1]), r"user_ids\.offsets\.npy: expected offsets"),
        (array("item_titles.bytes.npy", lambda a: a[:-1]), r"item_titles\.offsets\.npy: expected offsets"),
        (
            strings("item_titles", lambda a: [*a[:-1], "x" * 501]),
            r"item_titles\.bytes\.npy: string 199 has 501 characters",
        ),
        (
            lambda folder: np.save(folder / "test_negatives.npy", np.zeros((30, 0), np.int32)),
            r"test_negatives\.npy: shape \(30, 0\); expected one or more",
        ),
        *REPEATED,
    ],
    "model": REPEATED,
    "samples": [
        (array("test.npy", lambda a: a.astype(np.int64)), r"test\.npy: int64 .*expected int32 with two dimensions"),
        (array("validation.npy", lambda a: a[::-1]), r"validation\.npy: users are not sorted"),
        (
            array("test_candidates.npy", lambda a: a[:, :3]),
            r"manifest\.json: counts\.candidates is 4; the files have 3",
        ),
        (
            array("validation_candidates.npy", lambda a: a[:, :0]),
            r"validation_candidates\.npy: shape \(30, 0\); expected",
        ),
        (array("test_candidates.npy", lambda a: a - 1), r"test_candidates\.npy: indices from -1"),
        (array("exclusion_items.npy", lambda a: a.astype(np.int64)), r"exclusion_items\.npy: int64"),
        (array("exclusion_offsets.npy", lambda a: a[::-1]), r"exclusion_offsets\.npy: expected offsets"),
    ],
}


@pytest.mark.parametrize(("kind", "case"), [(kind, case) for kind, cases in WRONG_ARRAYS.items() for case in cases])
def test_a_wrong_array_is_refused_though_the_manifest_agrees(kind: str, folder: Path, case: Any) -> None:
    change, message = case
    change(folder)
    resign(kind, folder)
    with pytest.raises(InputError, match=message):
        LOADERS[kind](folder)


SHAPES = {
    "a product of many digits": f"({'9' * 4299}, {'9' * 4299})",
    "no rows of a number that numpy does not know": f"(0, {10**30})",
    "no rows of a number of bytes that numpy does not know": f"(0, {1 << 62})",
    "true": "(True, 2)",
}


@pytest.mark.parametrize("kind", ["dataset", "samples"])
@pytest.mark.parametrize("case", SHAPES)
def test_a_shape_that_no_array_has_is_refused(kind: str, folder: Path, case: str) -> None:
    header = f"{{'descr': '<i4', 'fortran_order': False, 'shape': {SHAPES[case]}}}\n".encode()
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(8 if case == "true" else 0)
    (folder / "test.npy").write_bytes(content)
    resign(kind, folder)
    with pytest.raises(InputError, match=r"test\.npy: int32 \[.*; expected int32 with two dimensions"):
        LOADERS[kind](folder)


COMMANDS = {
    "dataset": ["negative-sampling", "--samples", "out", "--dataset"],
    "model": ["show", "--user", "u1", "--model"],
}


@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.parametrize("case", ["deep", "overflow", "a surrogate as kind", "a repeated key", "a null byte"])
def test_a_command_ends_with_one_line_and_status_2(kind: str, folder: Path, case: str, capsys, monkeypatch) -> None:
    monkeypatch.chdir(folder.parent)
    path = folder / manifest.FILE_NAME
    path.write_text(str(TAMPERED[case](path.read_text())))
    with pytest.raises(SystemExit) as ended:
        main([*COMMANDS[kind], folder.name])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"ncf: error: {folder.name}/manifest.json: ")
    assert line.isprintable()
