"""The ``model`` folder: written by training, read by evaluation, batch and serving with numpy alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ncf.artifacts import golden, manifest
from ncf.artifacts.arrays import save_array
from ncf.artifacts.golden import Golden
from ncf.artifacts.index_checks import check_range
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.regular_files import shown
from ncf.artifacts.strings import Strings
from ncf.artifacts.untrusted_files import UntrustedFiles
from ncf.errors import InputError

KIND = "model"
CONFIG = "config.json"
WEIGHTS = "weights.safetensors"
HOSTED_WEIGHTS = "hosted.safetensors"
POPULARITY = "popularity.npy"
HISTORY = "history.json"
SEEN_DAYS = "seen_days.npy"
MAX_LATEST_ITEMS = 200
"""Largest number of latest items in a user's vector."""
RECENCY_RATE = 10.0
"""Logarithm of an item's weight in its user's vector over the value in ``recency``. Training changes it so much faster
than other weights, as these few values would need more steps than small data have."""
_LARGEST_RECENCY = 60.0  # its exponential, and one over it, are well inside float32
_LARGEST_SCALE = 700.0  # its exponential is inside float64
_FLOAT32_MAX = float(np.finfo(np.float32).max)

_MAX_TOWER = 100
_Size = Annotated[int, Field(ge=1, lt=1 << 31)]
"""Size of a dimension; indices are int32."""

ModelName = Literal["history", "gmf", "mlp", "neumf"]
Weights = Mapping[str, NDArray[np.float32]]


class ModelConfig(BaseModel):
    """Architecture and sizes of a model (He et al. 2017, section 3).

    Attributes:
        model: ``gmf`` (3.2), ``mlp`` (3.3) or ``neumf`` (3.4), which joins both before the output layer; or
            ``history``, a GMF whose user vector is the weighted mean of the embeddings of the user's items.
        factors: width of the GMF embeddings; not used by ``mlp``.
        tower: widths of the MLP's layers, the first that of the concatenated user and item embeddings; not
            used by ``gmf`` and ``history``.
        n_users, n_items: rows of the embedding tables.
        history: number of a user's latest items, which are weighted by recency (``history``); 0: all items, equally,
            for data without times.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    model: ModelName
    factors: _Size
    tower: list[_Size] = Field(max_length=_MAX_TOWER)
    n_users: _Size
    n_items: _Size
    history: int = Field(0, ge=0, le=MAX_LATEST_ITEMS)

    @model_validator(mode="after")
    def _tower_has_layers(self) -> ModelConfig:
        if self.has_tower and (len(self.tower) < 2 or self.tower[0] % 2):
            raise ValueError(f"tower is {self.tower}; expected two or more widths, the first of them even")
        return self

    @property
    def has_gmf(self) -> bool:
        return self.model in ("gmf", "neumf")

    @property
    def has_tower(self) -> bool:
        return self.model in ("mlp", "neumf")

    @property
    def has_history(self) -> bool:
        """Whether the user's vector is made of the user's items."""
        return self.model == "history"

    @property
    def is_sequential(self) -> bool:
        """Whether the user's latest items are weighted by recency."""
        return self.has_history and self.history > 0

    @property
    def has_product(self) -> bool:
        """Whether the logit has an inner product of a user's and an item's vector."""
        return self.has_gmf or self.has_history

    @property
    def product_width(self) -> int:
        """Width of these vectors; that of ``history`` has a column for the item's bias."""
        return self.factors + self.has_history if self.has_product else 0

    @property
    def n_layers(self) -> int:
        """Fully connected layers of the tower."""
        return len(self.tower) - 1 if self.has_tower else 0

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every weight. The input of ``output.weight`` is the GMF vector, then that of the tower.

        ``scale`` is a logarithm, ``recency`` one over ``RECENCY_RATE``; the latest item comes first in ``recency``.
        """
        shapes: dict[str, tuple[int, ...]] = {}
        if self.has_history:
            shapes |= {"item_gmf.weight": (self.n_items, self.factors), "item_bias.weight": (self.n_items, 1)}
            return shapes | ({"recency": (self.history,)} if self.history else {}) | {"scale": (1,)}
        if self.has_gmf:
            shapes["user_gmf.weight"] = (self.n_users, self.factors)
            shapes["item_gmf.weight"] = (self.n_items, self.factors)
        if self.has_tower:
            shapes["user_mlp.weight"] = (self.n_users, self.tower[0] // 2)
            shapes["item_mlp.weight"] = (self.n_items, self.tower[0] // 2)
        for layer in range(self.n_layers):
            shapes[f"tower.{layer}.weight"] = (self.tower[layer + 1], self.tower[layer])
            shapes[f"tower.{layer}.bias"] = (self.tower[layer + 1],)
        width = self.factors * self.has_gmf + (self.tower[-1] if self.has_tower else 0)
        return shapes | {"output.weight": (1, width), "output.bias": (1,)}


@dataclass(frozen=True)
class ModelFolder:
    """A trained model with the data that evaluation and serving need.

    Attributes:
        config: architecture and sizes.
        weights: float32 arrays, named and shaped as :meth:`ModelConfig.weight_shapes` says.
        user_ids, item_ids: raw id of each index. Those that only ``hosted_weights`` know, as they came after training,
            are the last; ``config`` does not count them.
        item_titles: title of each item index ('' where unknown), or None without titles.
        train: positives that ``weights`` were fitted on, training and validation; items of a user are in order of
            time. Evaluation masks them and fits its baselines to them.
        seen: all positives, test included, in order of time. Serving does not recommend them again.
        popularity: int64 [n_items], interactions of each item in ``train``.
        history: epochs of the selection and the final fit, the hyperparameters and the speed.
        golden: requests and the answers of the trained network, which the server checks before it takes traffic.
        seen_days: int32 [positives in ``seen``], days since 1970 UTC of each, or None without times.
        hosted_weights: as ``weights``, for ``hosted_config``, fitted on all positives, which are hosted; None:
            ``weights`` are hosted.
        version: first 12 hexadecimal digits of the fingerprint of the folder; '' for a model that was not loaded.
    """

    config: ModelConfig
    weights: Weights
    user_ids: Strings
    item_ids: Strings
    item_titles: Strings | None
    train: ItemsByUser
    seen: ItemsByUser
    popularity: NDArray[np.int64]
    history: Mapping[str, Any]
    golden: Golden
    seen_days: NDArray[np.int32] | None = None
    hosted_weights: Weights | None = None
    version: str = ""

    @property
    def hosted_config(self) -> ModelConfig:
        """Architecture and sizes of what is hosted."""
        return _for_ids(self.config, self.user_ids, self.item_ids)

    @property
    def evaluated_ids(self) -> tuple[list[str], list[str]]:
        """Raw ids of the users and of the items that ``weights`` have rows of."""
        return self.user_ids[: self.config.n_users], self.item_ids[: self.config.n_items]

    def hosted(self) -> ModelFolder:
        """The model that batch and serving answer with: it was fitted on, or at least knows, all positives.

        The vectors of a ``history`` model's users are made of all their items, whatever its weights were fitted on.
        """
        if self.hosted_weights is None and not self.config.has_history:
            return self
        popularity = np.bincount(self.seen.items, minlength=len(self.item_ids))
        return replace(
            self,
            config=self.hosted_config,
            weights=self.hosted_weights or self.weights,
            hosted_weights=None,
            train=self.seen,
            popularity=popularity,
        )

    def save(self, folder: Path, parameters: Mapping[str, Any], source: Mapping[str, Any]) -> None:
        """Write the folder, with the manifest last.

        Raises:
            InputError: if :meth:`load` would refuse the folder, for example as weights are not finite.
        """
        from safetensors.numpy import save_file

        self._check(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).write_text(self.config.model_dump_json(indent=2) + "\n")
        (folder / HISTORY).write_text(json.dumps(self.history, indent=2) + "\n")
        (folder / golden.FILE_NAME).write_text(self.golden.model_dump_json(indent=2) + "\n", encoding="utf-8")
        for name, weights in ((WEIGHTS, self.weights), (HOSTED_WEIGHTS, self.hosted_weights)):
            if weights is not None:
                save_file({key: np.ascontiguousarray(array) for key, array in weights.items()}, folder / name)
                (folder / name).chmod(0o644)  # safetensors writes mode 0600, but pods run as other users
        self.user_ids.save(folder, "user_ids")
        self.item_ids.save(folder, "item_ids")
        if self.item_titles is not None:
            self.item_titles.save(folder, "item_titles")
        self.train.save(folder, "train")
        self.seen.save(folder, "seen")
        if self.seen_days is not None:
            save_array(folder / SEEN_DAYS, self.seen_days)
        save_array(folder / POPULARITY, self.popularity)
        manifest.write(folder, KIND, self._counts(), parameters, source)

    @classmethod
    def load(cls, folder: Path) -> ModelFolder:
        """Read an untrusted ``model`` folder, memory-mapped, after a check against its manifest and config.

        No file is unpickled. All sizes, types and indices are checked here, so that scoring cannot fail later.

        Raises:
            InputError: with the file, the weight and the expected value.
        """
        _check_top_level(folder)
        content = manifest.read(folder, KIND)
        files = UntrustedFiles.of(folder, content["files"])
        config = files.validated(CONFIG, ModelConfig)
        user_ids, item_ids = files.ids("user_ids"), files.ids("item_ids")
        hosted = _for_ids(config, user_ids, item_ids)
        model = cls(
            config=config,
            weights=files.weights(WEIGHTS, config.weight_shapes()),
            hosted_weights=files.weights(HOSTED_WEIGHTS, hosted.weight_shapes()) if files.has(HOSTED_WEIGHTS) else None,
            user_ids=user_ids,
            item_ids=item_ids,
            item_titles=files.strings("item_titles") if files.has("item_titles.bytes.npy") else None,
            train=files.items_by_user("train"),
            seen=files.items_by_user("seen"),
            popularity=files.array(POPULARITY, np.int64),
            history=files.json_object(HISTORY),
            golden=files.validated(golden.FILE_NAME, Golden),
            seen_days=files.array(SEEN_DAYS, np.int32) if files.has(SEEN_DAYS) else None,
            version=manifest.version(content),
        )
        model._check(folder)
        manifest.check_counts(folder, content, model._counts())
        return model

    def _counts(self) -> dict[str, int]:
        return {
            "users": self.config.n_users,
            "items": self.config.n_items,
            "train": len(self.train.items),
            "weights": sum(array.size for array in self.weights.values()),
        }

    def _check(self, folder: Path) -> None:
        """Check that arrays fit the config and each other."""
        n_users, n_items = self.config.n_users, self.config.n_items
        _check_weights(folder / WEIGHTS, self.config, self.weights)
        if self.hosted_weights is not None:
            _check_weights(folder / HOSTED_WEIGHTS, self.hosted_config, self.hosted_weights)
        later = self.hosted_weights is not None  # these may have rows for more users and items
        all_users = max(n_users, len(self.user_ids)) if later else n_users
        all_items = max(n_items, len(self.item_ids)) if later else n_items
        sizes = {
            "user_ids.offsets.npy": (len(self.user_ids), all_users, "ids"),
            "item_ids.offsets.npy": (len(self.item_ids), all_items, "ids"),
            "train_offsets.npy": (self.train.n_users, n_users, "users"),
            "seen_offsets.npy": (self.seen.n_users, all_users, "users"),
            POPULARITY: (len(self.popularity), n_items, "items"),
        }
        if self.item_titles is not None:
            sizes["item_titles.offsets.npy"] = (len(self.item_titles), all_items, "titles")
        if self.seen_days is not None and len(self.seen_days) != len(self.seen.items):
            raise InputError(f"{folder / SEEN_DAYS}: {len(self.seen_days)} days for {len(self.seen.items)} seen items")
        for name, (found, expected, unit) in sizes.items():
            if found != expected:
                raise InputError(f"{folder / name}: {found} {unit}; {CONFIG} says {expected}")
        check_range(folder / "train_items.npy", self.train.items, n_items)
        check_range(folder / "seen_items.npy", self.seen.items, all_items)
        if self.popularity.min() < 0:
            raise InputError(f"{folder / POPULARITY}: a count of {self.popularity.min()}; expected 0 or more")
        self.golden.check_ids(str(folder / golden.FILE_NAME), self.user_ids, self.item_ids)


def _for_ids(config: ModelConfig, user_ids: Strings, item_ids: Strings) -> ModelConfig:
    """The architecture for so many users and items; 1 at least, which the check of the ids refuses otherwise."""
    return config.model_copy(update={"n_users": max(1, len(user_ids)), "n_items": max(1, len(item_ids))})


def _check_top_level(folder: Path) -> None:
    """Check for a model one level below, as extracted from an archive with a top folder.

    Raises:
        InputError: with the name of that folder.
    """
    if folder.is_dir() and not (folder / manifest.FILE_NAME).is_file():
        below = sorted(folder.glob(f"*/{manifest.FILE_NAME}"))
        if below:
            raise InputError(
                f"{folder / manifest.FILE_NAME}: missing, but folder '{below[0].parent.name}' has one; "
                f"give '{below[0].parent}', or an archive with the files of the model at its top level"
            )


def _check_weights(path: Path, config: ModelConfig, weights: Weights) -> None:
    """Check the weights against the config.

    Raises:
        InputError: with the first weight that is missing, unexpected, not finite, or has the wrong type or shape; or
            if weights are so large that scores may overflow.
    """
    shapes = config.weight_shapes()
    for name in sorted(shapes.keys() | weights.keys()):
        if name not in shapes:
            expected = ", ".join(shapes)
            raise InputError(f"{path}: a {config.model} model has no weight {shown(name)}; expected {expected}")
        if name not in weights:
            raise InputError(f"{path}: weight '{name}' is missing; expected float32 {list(shapes[name])}")
        found = weights[name]
        if found.shape != shapes[name] or found.dtype != np.float32:
            raise InputError(
                f"{path}: weight '{name}' is {found.dtype} {list(found.shape)}; expected float32 {list(shapes[name])}"
            )
        # the minimum and maximum of an array with a NaN are NaN
        if not np.isfinite([found.min(), found.max()]).all():
            raise InputError(f"{path}: weight '{name}' has values that are not finite")
    if not _largest_score(config, weights) <= _FLOAT32_MAX:
        raise InputError(f"{path}: the weights are so large that scores may exceed float32")


def _largest_score(config: ModelConfig, weights: Weights) -> float:
    """Upper bound of the absolute value of every score and of every intermediate sum."""

    def largest(name: str) -> float:
        return max(-float(weights[name].min()), float(weights[name].max()))

    if config.has_history:
        recency = RECENCY_RATE * largest("recency") if config.history else 0.0
        if recency > _LARGEST_RECENCY or largest("scale") > _LARGEST_SCALE:
            return math.inf
        scale = math.exp(largest("scale"))
        score = scale * config.factors * max(1.0, largest("item_gmf.weight")) ** 2 + largest("item_bias.weight")
        return max(score, scale * math.exp(recency))  # what the weights of a history are multiplied by
    output = np.abs(weights["output.weight"][0].astype(np.float64))
    split = config.factors if config.has_gmf else 0
    bound = largest("output.bias")
    if config.has_gmf:
        bound += max(1.0, largest("user_gmf.weight")) * largest("item_gmf.weight") * max(1.0, output[:split].sum())
    if config.has_tower:
        hidden = max(largest("user_mlp.weight"), largest("item_mlp.weight"))
        for layer in range(config.n_layers):
            rows = np.abs(weights[f"tower.{layer}.weight"].astype(np.float64)).sum(axis=1)
            hidden = float((rows * hidden + np.abs(weights[f"tower.{layer}.bias"])).max())
            bound = max(bound, hidden)
        bound += hidden * output[split:].sum()
    return bound
