"""The contract of multi-model endpoints, over real sockets."""

from __future__ import annotations

import gc
import http.client
import json
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from live_server import Live, live_app, until
from random_model import random_model
from readmes import ROOT

from ncf.errors import InputError
from ncf.memory import resident_memory
from ncf.serving import model_store
from ncf.serving.model_store import ModelStore
from ncf.serving.multi_model import create_multi_model_app
from ncf.serving.recommender import Recommender
from ncf.serving.serve import Serve
from ncf.stage.parsing import parse

USERS = b'{"users": ["u1", "stranger"], "k": 3}'
ROOM = 1 << 40


def load(server: Live, root: Path, name: str, folder: str = "") -> tuple[int, Any]:
    body = {"model_name": name, "url": str(root / (folder or name) / "model")}
    return server.send("POST", "/models", json.dumps(body).encode())


def invoke(server: Live, name: str, body: bytes = USERS, **headers: str) -> tuple[int, Any]:
    return server.send("POST", f"/models/{name}/invoke", body, **headers)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of the models de, fr and it, and of a damaged one."""
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("de", "fr", "it", "damaged")):
        (folder / name).mkdir()
        random_model(seed=seed).save(folder / name / "model", {}, {})
    (folder / "damaged" / "model" / "popularity.npy").write_bytes(b"cos\nsystem\n")
    return folder


@pytest.fixture
def store(root: Path) -> ModelStore:
    return ModelStore(root, ROOM)


@pytest.fixture
def server(store: ModelStore) -> Iterator[Live]:
    with live_app(create_multi_model_app(store)) as found:
        yield found


def test_models_are_loaded_listed_invoked_and_unloaded(server: Live, root: Path) -> None:
    assert server.send("GET", "/ping")[0] == 200
    assert server.send("GET", "/models") == (200, {"models": []})
    assert load(server, root, "de") == (200, None)
    assert load(server, root, "fr") == (200, None)
    assert load(server, root, "de")[0] == 409
    described = [{"modelName": name, "modelUrl": str(root / name / "model")} for name in ("de", "fr")]
    assert server.send("GET", "/models") == (200, {"models": described})
    assert server.send("GET", "/models/fr") == (200, described[1])
    answers = {name: invoke(server, name)[1] for name in ("de", "fr")}
    assert len({answer["model_version"] for answer in answers.values()}) == 2
    assert [entry["source"] for entry in answers["de"]["recommendations"]] == ["model", "popular"]
    assert server.metric("ncf_models_loaded") == 2
    assert server.metric('ncf_model_loads_total{outcome="loaded"}') == 2
    assert server.metric('ncf_model_loads_total{outcome="loaded_already"}') == 1
    assert server.requests("users", 200) == 2

    assert server.send("DELETE", "/models/de") == (200, None)
    assert [server.send(method, "/models/de")[0] for method in ("DELETE", "GET")] == [404, 404]
    assert invoke(server, "de") == (404, {"error": "model 'de' is not loaded"})
    assert invoke(server, "fr")[0] == 200
    assert load(server, root, "de") == (200, None)
    assert invoke(server, "de")[1] == answers["de"]


def test_requests_have_the_limits_and_errors_of_a_single_model(server: Live, root: Path) -> None:
    load(server, root, "de")
    assert invoke(server, "de", b'{"users": []}')[0] == 422
    assert invoke(server, "de", b"{")[0] == 400
    assert invoke(server, "de", b"[" * (1 << 20) + b"[")[0] == 413
    assert invoke(server, "de", b"x", **{"content-type": "image/png"})[0] == 415
    status, answer = server.send("GET", "/models/de/invoke")
    assert status == 405
    assert "POST /models/{name}/invoke" in answer["error"]


def test_the_list_has_pages(root: Path, store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    page = store.page
    monkeypatch.setattr(store, "page", lambda after: page(after, size=2))
    with live_app(create_multi_model_app(store)) as server:
        for name in ("c", "a", "b"):
            load(server, root, name, "de")
        _, first = server.send("GET", "/models")
        assert [model["modelName"] for model in first["models"]] == ["a", "b"]
        server.send("DELETE", "/models/b")  # the next page begins behind it all the same
        _, last = server.send("GET", f"/models?next_page_token={first['nextPageToken']}")
        assert last == {"models": [{"modelName": "c", "modelUrl": str(root / "de" / "model")}]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "expected JSON with model_name and url"),
        (b'{"model_name": "x"}', "url: Field required"),
        (b'{"model_name": "", "url": "/opt"}', "expected 1 to 256 characters"),
        (b'{"model_name": "a/b", "url": "/opt"}', "no '/' among them"),
        (b'{"model_name": "x", "url": "/etc"}', "expected a folder under"),
        (b'{"model_name": "x", "url": "ROOT/de/../../.."}', "expected a folder under"),
        (b'{"model_name": "x", "url": "ROOT/absent/model"}', "expected a folder under"),
        (b'{"model_name": "x", "url": "ROOT/damaged/model"}', "popularity.npy"),
    ],
)
def test_what_cannot_be_loaded_fails_alone(server: Live, root: Path, body: bytes, message: str) -> None:
    load(server, root, "de")
    status, answer = server.send("POST", "/models", body.replace(b"ROOT", str(root).encode()))
    assert status == 400
    assert message in answer["error"]
    assert invoke(server, "de")[0] == 200
    assert server.metric("ncf_models_loaded") == 1


def test_a_folder_that_is_a_link_to_another_place_is_refused(server: Live, root: Path, tmp_path: Path) -> None:
    random_model().save(tmp_path / "elsewhere", {}, {})
    (root / "link").mkdir(exist_ok=True)
    (root / "link" / "model").symlink_to(tmp_path / "elsewhere")
    try:
        assert load(server, root, "link")[0] == 400
    finally:
        (root / "link" / "model").unlink()


def held(monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], Callable[[], None]]:
    """Loads that are held: the folders that are being loaded, and what lets them go on."""
    begun, let_go, real = [], threading.Event(), model_store.load

    def slow(location: str) -> Recommender:
        begun.append(location)
        assert let_go.wait(20)
        return real(location)

    monkeypatch.setattr(model_store, "load", slow)
    return begun, let_go.set


def test_others_are_invoked_during_a_load_and_concurrent_loads_are_one(
    server: Live, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(server, root, "de")
    begun, let_go = held(monkeypatch)
    with ThreadPoolExecutor() as pool:
        loads = [pool.submit(load, server, root, "fr") for _ in range(4)]
        until(lambda: bool(begun))
        assert invoke(server, "de")[0] == 200
        assert invoke(server, "fr")[0] == 404
        let_go()
        statuses = sorted(load.result()[0] for load in loads)
    assert statuses == [200, 409, 409, 409]
    assert len(begun) == 1
    assert invoke(server, "fr")[0] == 200


def test_a_failed_load_fails_for_all_who_wait_and_may_be_repeated(
    server: Live, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, let_go = held(monkeypatch)
    with ThreadPoolExecutor() as pool:
        loads = [pool.submit(load, server, root, "x", "damaged") for _ in range(3)]
        until(lambda: bool(begun))
        let_go()
        assert [load.result()[0] for load in loads] == [400] * 3
    assert load(server, root, "x", "it") == (200, None)


def test_a_load_whose_client_leaves_is_completed(server: Live, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, let_go = held(monkeypatch)
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("POST", "/models", json.dumps({"model_name": "de", "url": str(root / "de" / "model")}))
    until(lambda: bool(begun))
    connection.close()
    let_go()
    until(lambda: invoke(server, "de")[0] == 200)


def test_a_model_beyond_the_memory_is_refused_with_507(root: Path) -> None:
    files = sum(path.stat().st_size for path in (root / "de" / "model").iterdir())
    store = ModelStore(root, memory=resident_memory() + (64 << 20))
    with live_app(create_multi_model_app(store)) as server:
        assert load(server, root, "de") == (200, None)
        store._memory = resident_memory() + 2 * files  # less than a load reserves
        status, answer = load(server, root, "fr")
        assert status == 507
        assert "1 models; unload some" in answer["error"]
        assert server.metric('ncf_model_loads_total{outcome="no_room"}') == 1
        assert invoke(server, "de")[0] == 200
        store._memory = ROOM
        assert load(server, root, "fr") == (200, None)


def test_loads_in_progress_count(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ModelStore(root, ROOM)
    with live_app(create_multi_model_app(store)) as server, ThreadPoolExecutor() as pool:
        begun, let_go = held(monkeypatch)
        first = pool.submit(load, server, root, "de")
        until(lambda: bool(begun))
        assert store._reserved > 0
        store._memory = resident_memory() + store._reserved + 1000
        assert load(server, root, "fr")[0] == 507
        let_go()
        assert first.result() == (200, None)
    assert store._reserved == 0


def test_without_memory_or_files_a_load_is_refused_with_507(
    server: Live, root: Path, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> Recommender:
        raise MemoryError("no 8 GB")

    monkeypatch.setattr(model_store, "load", fail)
    assert load(server, root, "de")[0] == 507
    monkeypatch.undo()
    store._open_files = 0
    assert load(server, root, "de")[0] == 507
    store._open_files = 1 << 20
    assert load(server, root, "de")[0] == 200


def test_an_unloaded_model_is_gone_after_its_last_request(
    server: Live, root: Path, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(server, root, "de")
    model = weakref.ref(store.get("de").recommender)
    begun, let_go, answer = threading.Event(), threading.Event(), Recommender.recommendations

    def slow(self: Recommender, form: Any) -> Any:
        begun.set()
        assert let_go.wait(20)
        return answer(self, form)

    with ThreadPoolExecutor() as pool:
        monkeypatch.setattr(Recommender, "recommendations", slow)
        body = json.dumps({"users": ["u1"] * 100, "k": 1000, "allow": [f"i{item}" for item in range(100)]}).encode()
        asked = pool.submit(invoke, server, "de", body)  # so many pairs that a thread answers
        assert begun.wait(20)
        assert server.send("DELETE", "/models/de") == (200, None)
        assert model() is not None
        let_go.set()
        assert asked.result()[0] == 200
    gc.disable()
    try:
        until(lambda: model() is None)
    finally:
        gc.enable()


def test_memory_stays_bounded_when_models_come_and_go(tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    random_model("history", n_users=5000, n_items=5000, factors=64, positives=20).save(
        tmp_path / "large" / "model", {}, {}
    )
    with live_app(create_multi_model_app(ModelStore(tmp_path, ROOM))) as server:
        used = []
        for name in "abcdefghij":
            assert load(server, tmp_path, name, "large") == (200, None)
            assert server.send("DELETE", f"/models/{name}") == (200, None)
            used.append(resident_memory())
    files = sum(path.stat().st_size for path in (tmp_path / "large" / "model").iterdir())
    assert used[-1] - used[1] < 2 * files, "eight more models were loaded, and none is kept"


def test_the_target_is_in_the_log(server: Live, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    load(server, root, "de")
    with caplog.at_level("INFO", "ncf.serving.requests"):
        invoke(server, "de", **{"x-amzn-sagemaker-target-model": 'shop/de.tar.gz"'})
        until(lambda: bool(caplog.records))
    assert json.loads(caplog.messages[-1])["target"] == 'shop/de.tar.gz"'


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "neither is given"),
        (("--model", ""), "neither is given"),
        (("--model", " "), "parameter 'model' is empty"),
        (("--model", "a", "--models", "b"), "one of them: 'model' is a and 'models' is b"),
        (("--models", "b", "--page", "true"), "the page shows one model"),
    ],
)
def test_one_model_or_several(flags: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(Serve, flags)


def test_the_image_says_that_it_hosts_several_models() -> None:
    """AWS requires the label: https://docs.aws.amazon.com/sagemaker/latest/dg/build-multi-model-build-container.html"""
    dockerfile = (ROOT / "images" / "deploy" / "Dockerfile").read_text()
    assert "\nLABEL com.amazonaws.sagemaker.capabilities.multi-models=true\n" in dockerfile
