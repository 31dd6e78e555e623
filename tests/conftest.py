"""What several tests share."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

# tests run side by side: threads of BLAS would wait for each other; read when numpy is imported
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings
from quick_clients import share_service_models
from warm_python import close_shared_python, shared_python

from ncf.artifacts.dataset import Dataset
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.strings import Strings

# tests run make as a user does, though they themselves may run under `make test`
for variable in ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"):
    os.environ.pop(variable, None)

share_service_models()

# the same cases in each run: new ones are searched for with --hypothesis-profile=default
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

_PERMISSION_OF = {"s3:HeadBucket": "s3:ListBucket"}
_CALLS_OF_TESTS = {"sagemaker:ListEndpoints"}
"""What tests themselves call through our clients."""
SHARED = Path(__file__).parents[2] / "shared"
SHARED_DATA = SHARED / "data"


@pytest.fixture(scope="session", autouse=True)
def shared_python_ends() -> Iterator[None]:
    """The interpreter that tests share ends with them."""
    yield
    close_shared_python()


@pytest.fixture(scope="session", autouse=True)
def random_key() -> Iterator[Callable[[], Any]]:
    """One key for all stand-ins of the tests, as boto3's default session keeps the first; the function that it replaces."""
    from components.local.aws.keys import AccessKey

    original = AccessKey.random
    with patch.object(AccessKey, "random", return_value=original()):
        yield original


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    """The collector rests while tests are imported: nearly all objects that this makes stay."""
    gc.disable()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """The objects of all imported modules leave the collector's sight: they live until the end."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def calls_are_permitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call to AWS that a launcher, an operator or CI makes in any test is one that the roles allow."""
    from components.cluster.permissions import modules_of_operators, modules_of_pods, modules_of_watcher
    from components.cluster.setup import ci
    from ncf.aws import permissions, session

    permitted = permissions.calls(modules_of_pods() | modules_of_operators() | modules_of_watcher()) | permissions.FREE
    permitted |= ci.actions()
    original = session.Aws.call
    prefixes = {
        "sagemaker-runtime": "sagemaker",
        "resourcegroupstaggingapi": "tag",
        "service-quotas": "servicequotas",
    }

    def call(self: Any, service: str, operation: str, patience: float | None = None, **request: Any) -> Any:
        name = self.client(service).meta.method_to_api_mapping[operation]
        action = f"{prefixes.get(service, service)}:{name}"
        if (action := _PERMISSION_OF.get(action, action)) not in permitted | _CALLS_OF_TESTS:
            pytest.fail(f"{service} {operation}: no role allows {action}")
        if operation == "create_training_job":
            assert request["TrainingJobName"].startswith("ncf-train-"), "the roles allow jobs of that prefix alone"
        return original(self, service, operation, patience, **request)

    monkeypatch.setattr(session.Aws, "call", call)


@pytest.fixture
def quick_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pods and programs of images that are processes of this machine start at once."""
    monkeypatch.setattr(sys, "executable", str(shared_python()))


@pytest.fixture
def shared_data() -> Path:
    """Real data that lies beside the project on some machines."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data is not at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture
def shared_kfp() -> Path:
    """What real KFP backends made of the pipelines; it lies beside the project on some machines."""
    if not (SHARED / "kfp").is_dir():
        pytest.skip(f"what KFP backends printed is not at {SHARED / 'kfp'}")
    return SHARED / "kfp"


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., Path]:
    """Writes a small random ``dataset`` folder: users with 5 to 12 positives of which two are held out."""

    def make(n_users: int = 30, n_items: int = 200, seed: int = 0) -> Path:
        rng = np.random.default_rng(seed)
        rows = [rng.permutation(n_items)[: rng.integers(5, 13)] for _ in range(n_users)]
        held_out = [np.array([[user, row[position]] for user, row in enumerate(rows)], np.int32) for position in (0, 1)]
        train = [(user, item) for user, row in enumerate(rows) for item in row[2:]]
        users, items = np.array(train, np.int32).T
        dataset = Dataset(
            train=ItemsByUser.of_sorted(users, items, n_users),
            validation=held_out[0],
            test=held_out[1],
            user_ids=Strings.of(f"u{user}" for user in range(n_users)),
            item_ids=Strings.of(f"i{item}" for item in range(n_items)),
            item_titles=Strings.of(f"Title {item}" for item in range(n_items)),
        )
        folder = tmp_path / f"dataset-{seed}"
        dataset.save(folder, {"seed": seed}, {"fingerprint": f"random-{seed}"})
        return folder

    return make
