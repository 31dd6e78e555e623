"""Model folders that are damaged, or made to harm, are refused with a reason."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_model import random_model
from safetensors.numpy import load_file, save_file

from ncf.artifacts import manifest
from ncf.artifacts.model_folder import ModelFolder
from ncf.errors import InputError
from ncf.models.ranker import Ranker


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random_model().save(tmp_path / "model", {"epochs": 2}, {"fingerprint": "abc"})
    return tmp_path / "model"


def sign(folder: Path) -> None:
    """Write the manifest anew, so that checksums are right whatever the files hold."""
    counts = json.loads((folder / manifest.FILE_NAME).read_text())["counts"]
    (folder / manifest.FILE_NAME).unlink()
    manifest.write(folder, "model", counts, {}, {})


class Bomb:
    """Unpickling it leaves a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def edit_weights(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        weights = dict(load_file(folder / "weights.safetensors"))
        change(weights)
        save_file(weights, folder / "weights.safetensors")

    return edit


def put(name: str, array: np.ndarray) -> Callable[[Path], None]:
    return lambda folder: np.save(folder / name, array)


HISTORY_TAMPERED = {
    "recency missing": (lambda w: w.pop("recency"), r"weight 'recency' is missing; expected float32 \[3\]"),
    "recency of another length": (
        lambda w: w.update(recency=np.zeros(4, np.float32)),
        r"'recency' is float32 \[4\]; expected float32 \[3\]",
    ),
    "users": (
        lambda w: w.update({"user_gmf.weight": np.zeros((12, 4), np.float32)}),
        "a history model has no weight 'user_gmf.weight'; expected item_gmf.weight, item_bias.weight, recency, scale",
    ),
    "NaN": (lambda w: w.update(recency=np.full(3, np.nan, np.float32)), "'recency' has values that are not finite"),
    "infinite bias": (
        lambda w: w.update({"item_bias.weight": np.full((40, 1), np.inf, np.float32)}),
        r"'item_bias\.weight' has values that are not finite",
    ),
    **{
        f"{name} {value}": (
            lambda w, name=name, value=value: w.update({name: np.full_like(w[name], value)}),
            "scores may exceed float32",
        )
        for name, value in (
            ("recency", 100),
            ("recency", -100),
            ("scale", 90),
            ("scale", -1e30),
            ("scale", 3e38),
            ("item_gmf.weight", 1e19),
            ("item_gmf.weight", -3e38),
        )
    },
    "scale times recency": (
        lambda w: w.update(scale=np.array([70], np.float32), recency=np.full(3, -5.9, np.float32)),
        "scores may exceed float32",
    ),
}


@pytest.mark.parametrize("file", ["weights", "hosted"])
@pytest.mark.parametrize("case", HISTORY_TAMPERED)
def test_tampered_weights_of_a_history_model_are_refused_whichever_is_hosted(tmp_path: Path, case, file):
    change, message = HISTORY_TAMPERED[case]
    model = random_model("history")
    replace(model, hosted_weights=model.weights).save(tmp_path, {}, {})
    weights = dict(load_file(tmp_path / f"{file}.safetensors"))
    change(weights)
    save_file(weights, tmp_path / f"{file}.safetensors")
    sign(tmp_path)
    with pytest.raises(InputError, match=rf"{file}\.safetensors: .*{message}"):
        ModelFolder.load(tmp_path)


@pytest.mark.parametrize("history", [0, 3])
@pytest.mark.parametrize(("scale", "recency"), [(80, 0), (-80, 0), (20, -6), (20, 6), (-20, 6)])
def test_large_weights_of_a_history_model_that_are_accepted_give_scores(history, scale, recency):
    model = random_model("history", history=history)
    weights = dict(model.weights) | {"scale": np.array([scale], np.float32)}
    if history:
        weights["recency"] = np.array([recency, 0, recency], np.float32)
    changed = replace(model, weights=weights)
    changed._check(Path())
    with np.errstate(all="raise", under="ignore"):
        scores = Ranker(model.config, weights, histories=model.seen).scorer.score_all(np.arange(12))
    assert np.isfinite(scores).all()


def text(name: str, content: str | bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def cut(name: str, keep: int) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:keep])


def pickled_object(folder: Path) -> None:
    np.save(folder / "popularity.npy", np.array([Bomb(folder / "exploded")], object), allow_pickle=True)


def pickled_file(folder: Path) -> None:
    (folder / "popularity.npy").write_bytes(pickle.dumps(Bomb(folder / "exploded")))


def with_header(header: bytes, length: int | None = None) -> Callable[[Path], None]:
    size = len(header) if length is None else length
    return text("weights.safetensors", struct.pack("<Q", size) + header + b"\0" * 64)


def golden(was: str, becomes: str) -> Callable[[Path], None]:
    """Replace the first occurrence of a text."""

    def edit(folder: Path) -> None:
        content = (folder / "golden.json").read_text()
        assert was in content
        (folder / "golden.json").write_text(content.replace(was, becomes, 1))

    return edit


CONFIG = '{"model": "neumf", "factors": 4, "tower": [16, 8, 4], "n_users": 12, "n_items": 40}'
TAMPERED = {
    "pickled object": (pickled_object, r"popularity\.npy: object \[1\]; expected int64"),
    "pickled file": (pickled_file, r"popularity\.npy: not an array file"),
    "zip for npy": (text("popularity.npy", b"PK\x03\x04" + bytes(60)), r"popularity\.npy: not an array file"),
    "empty npy": (text("seen_items.npy", ""), r"seen_items\.npy: not an array file"),
    "cut npy": (cut("seen_items.npy", 150), r"seen_items\.npy: not an array file"),
    "cut header": (cut("seen_items.npy", 20), r"seen_items\.npy: not an array file"),
    "cut safetensors": (cut("weights.safetensors", 900), r"weights\.safetensors: not a safetensors file"),
    "empty safetensors": (text("weights.safetensors", ""), r"weights\.safetensors: not a safetensors file"),
    "huge header": (with_header(b"{}", 1 << 60), r"weights\.safetensors: its header has \d+ bytes; expected 1048576"),
    "header no JSON": (with_header(b"{]"), r"weights\.safetensors: not a safetensors file"),
    "offsets outside": (
        with_header(b'{"output.bias":{"dtype":"F32","shape":[1],"data_offsets":[0,9999]}}'),
        r"weights\.safetensors: not a safetensors file",
    ),
    "overlapping": (
        with_header(
            b'{"a":{"dtype":"F32","shape":[16],"data_offsets":[0,64]},'
            b'"b":{"dtype":"F32","shape":[16],"data_offsets":[0,64]}}'
        ),
        r"weights\.safetensors: not a safetensors file",
    ),
    "no weights": (with_header(b"{}"), r"weights\.safetensors: "),
    "weight missing": (
        edit_weights(lambda w: w.pop("tower.1.bias")),
        r"weight 'tower\.1\.bias' is missing; expected float32 \[4\]",
    ),
    "weight too many": (
        edit_weights(lambda w: w.update(extra=np.zeros(1, np.float32))),
        r"has no weight 'extra'",
    ),
    "wrong shape": (
        edit_weights(lambda w: w.update({"item_gmf.weight": np.zeros((40, 5), np.float32)})),
        r"'item_gmf\.weight' is float32 \[40, 5\]; expected float32 \[40, 4\]",
    ),
    "float64": (
        edit_weights(lambda w: w.update({"output.bias": np.zeros(1)})),
        r"'output\.bias' is of type F64; expected float32 \[1\]",
    ),
    "NaN": (
        edit_weights(lambda w: w.update({"output.bias": np.array([np.nan], np.float32)})),
        r"'output\.bias' has values that are not finite",
    ),
    "infinity": (
        edit_weights(lambda w: w.update({"output.bias": np.array([-np.inf], np.float32)})),
        r"'output\.bias' has values that are not finite",
    ),
    "overflow": (
        edit_weights(lambda w: w.update({"item_mlp.weight": np.full((40, 8), 3e38, np.float32)})),
        "scores may exceed float32",
    ),
    "unknown model": (text("config.json", CONFIG.replace("neumf", "svd")), r"config\.json: model: "),
    "key unknown": (text("config.json", CONFIG.replace('"model"', '"x": 1, "model"')), r"config\.json: x: "),
    "key repeated": (
        text("config.json", CONFIG.replace('"model"', '"model": "gmf", "model"')),
        r"config\.json: content: .*once",
    ),
    "config no JSON": (text("config.json", "{"), r"config\.json: content: "),
    "config not UTF-8": (text("config.json", b"\xff\xfe"), r"config\.json: not UTF-8"),
    "other sizes": (
        text("config.json", CONFIG.replace("40", "41")),
        r"'item_gmf\.weight' is float32 \[40, 4\]",
    ),
    "item out of range": (
        put("seen_items.npy", np.full(60, 40, np.int32)),
        r"seen_items\.npy: .*expected 0 to 39",
    ),
    "item negative": (
        put("train_items.npy", np.full(48, -1, np.int32)),
        r"train_items\.npy: .*expected 0 to 39",
    ),
    "items int64": (
        put("seen_items.npy", np.zeros(60, np.int64)),
        r"seen_items\.npy: int64 .*expected int32",
    ),
    "items in rows": (put("seen_items.npy", np.zeros((6, 10), np.int32)), "with one dimension"),
    "offsets fall": (
        put("seen_offsets.npy", np.array([0, 99, *[60] * 11])),
        r"seen_offsets\.npy: expected offsets that rise from 0 to 60",
    ),
    "users too few": (put("seen_offsets.npy", np.array([0, 60])), r"seen_offsets\.npy: 1 users; .* says 12"),
    "ids too few": (
        put("user_ids.offsets.npy", np.array([0, 26])),
        r"user_ids\.offsets\.npy: 1 ids; .* says 12",
    ),
    "ids not UTF-8": (
        put("user_ids.bytes.npy", np.full(26, 255, np.uint8)),
        r"user_ids\.bytes\.npy: not UTF-8",
    ),
    "titles too few": (
        lambda folder: random_model(n_items=3, positives=2).item_titles.save(folder, "item_titles"),
        r"item_titles\.offsets\.npy: 3 titles; .* says 40",
    ),
    "popularity too short": (put("popularity.npy", np.zeros(39, np.int64)), r"popularity\.npy: 39 items"),
    "popularity negative": (put("popularity.npy", np.full(40, -1)), r"popularity\.npy: a count of -1"),
    "history a list": (text("history.json", "[]"), r"history\.json: expected a JSON object"),
    "history nested": (text("history.json", "[" * 100_000), r"history\.json: not JSON"),
    "golden no JSON": (text("golden.json", "{"), r"golden\.json: content: "),
    "golden a list": (text("golden.json", "[]"), r"golden\.json: content: "),
    "golden nested": (text("golden.json", "[" * 100_000), r"golden\.json: content: "),
    "golden not UTF-8": (text("golden.json", b"\xff\xfe"), r"golden\.json: not UTF-8"),
    "golden empty": (text("golden.json", '{"requests": []}'), r"golden\.json: requests: .*at least 1"),
    "golden unbounded": (
        text("golden.json", json.dumps({"requests": random_model().golden.model_dump()["requests"] * 51})),
        r"golden\.json: requests: .*at most 100",
    ),
    "golden key unknown": (golden('"k":', '"n": 1, "k":'), r"golden\.json: requests\.0\.request\.n: "),
    "golden k a text": (golden('"k": 10', '"k": "10"'), r"golden\.json: requests\.0\.request\.k: .*integer"),
    "golden no users": (golden('"u0"', ""), r"golden\.json: requests\.0\.request\.users\.0: .*required"),
    "golden two users": (golden('"u0"', '"u0", "u1"'), r"golden\.json: requests\.0\.request\.users: .*at most 1"),
    "golden user a number": (golden('"u0"', "0"), r"golden\.json: requests\.0\.request\.users\.0: .*string"),
    "golden user unknown": (golden('"u0"', '"nobody"'), r"golden\.json: user 'nobody' is not in the model"),
    "golden item unknown": (golden('"item": "i', '"item": "x'), r"golden\.json: item 'x\d+' is not in the model"),
    "golden score NaN": (golden('"score": ', '"score": NaN, "x": '), r"requests\.0\.items\.0\.score: .*finite"),
    "golden score infinite": (golden('"score": ', '"score": 1e999, "x": '), r"items\.0\.score: .*finite"),
    "golden score a text": (golden('"score": ', '"score": "1", "x": '), r"items\.0\.score: .*number"),
    "golden score missing": (golden('"score": ', '"x": '), r"items\.0\.score: .*required"),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_a_tampered_model_is_refused_with_a_reason(folder: Path, case):
    tamper, message = TAMPERED[case]
    tamper(folder)
    with pytest.raises(InputError, match=r"checksum|bytes"):
        ModelFolder.load(folder)
    sign(folder)  # by someone who knows how manifests are made
    with pytest.raises(InputError, match=message):
        ModelFolder.load(folder)
    assert not (folder / "exploded").exists()


FILES = [
    "config.json", "history.json", "golden.json", "weights.safetensors", "popularity.npy", "seen_items.npy",
    "seen_offsets.npy", "train_items.npy", "user_ids.bytes.npy", "item_ids.offsets.npy",
    "item_titles.offsets.npy",
]  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder: Path, name):
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"{name}: missing"):
        ModelFolder.load(folder)


@pytest.mark.parametrize("name", ["/nowhere/secret", "../secret", "a/../../secret"])
def test_a_manifest_that_leads_out_of_the_folder_is_refused(folder: Path, name):
    content = json.loads((folder / "manifest.json").read_text())
    content["files"][name] = {"bytes": 0, "sha256": ""}
    (folder / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="outside the folder"):
        ModelFolder.load(folder)


def test_a_file_that_the_manifest_does_not_list_is_refused(folder: Path):
    content = json.loads((folder / "manifest.json").read_text())
    del content["files"]["popularity.npy"]
    (folder / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"popularity\.npy: not in manifest\.json"):
        ModelFolder.load(folder)


def test_a_model_one_level_down_is_pointed_out(folder: Path):
    with pytest.raises(InputError, match="folder 'model' has one; give '.*/model'"):
        ModelFolder.load(folder.parent)
    with pytest.raises(InputError, match="no such folder"):
        ModelFolder.load(folder / "nowhere")


def npy(shape: object, descr: str = "<i8") -> bytes:
    """An .npy file whose header claims ``shape``, with 320 bytes of data."""
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(320)


@pytest.mark.parametrize(
    "content",
    [
        npy((1 << 62,)),
        npy((1 << 70,)),
        npy((-40,)),
        npy((-1, -40)),
        npy(()),
        npy("x"),
        npy((40,), "V8"),
        npy((40,), "O"),
    ],
    ids=range(8),
)
def test_an_array_whose_header_lies_is_refused(folder: Path, content):
    (folder / "popularity.npy").write_bytes(content)
    sign(folder)
    with pytest.raises(InputError, match=r"popularity\.npy: "):
        ModelFolder.load(folder)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_the_bytes_it_is_refused_or_scores(tmp_path: Path, data):
    folder = tmp_path / "model"
    shutil.rmtree(folder, ignore_errors=True)
    made = random_model(data.draw(st.sampled_from(["neumf", "history"])))
    replace(made, hosted_weights=made.weights).save(folder, {}, {})
    path = folder / data.draw(st.sampled_from([*FILES, "hosted.safetensors"]))
    content = bytearray(path.read_bytes())
    last = len(content) - 1
    headers, anywhere = st.integers(0, min(last, 159)), st.integers(0, last)
    for offset in data.draw(st.lists(headers | anywhere, max_size=3)):
        content[offset] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    sign(folder)
    try:
        model = ModelFolder.load(folder)
    except InputError:
        return
    for each in (model, model.hosted()):
        ranker = Ranker(each.config, each.weights, histories=each.train)
        items, scores = ranker.top_k(np.arange(12), 40, each.seen)
        assert np.isfinite(scores[items >= 0]).all()
