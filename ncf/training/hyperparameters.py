"""Hyperparameters of a training run: types, defaults and bounds."""

import math
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ncf.artifacts.model_folder import MAX_LATEST_ITEMS, ModelName
from ncf.parameters import Parameters
from ncf.seed import seed_field

_STEPS_PER_EPOCH = {False: 300, True: 1000}
"""Steps of an epoch where the bounds of the batch allow them, by whether the model is ``history``."""
_BATCH_BOUNDS = (1024, 1 << 16)
_REFERENCE_BATCH = 16384

MOST_POSITIVES = 100
"""Largest number of positives of a user in an epoch (history)."""

MOST_USERS = 10_000
"""Largest number of users whose validation positives are ranked in the catalogue."""
PAIRS_OF_TOWER = 5_000_000
"""Largest number of pairs of user and item that an MLP or NeuMF scores, some seconds: fewer users are ranked then."""

PARTS = ("gmf", "mlp")
"""Models that a NeuMF fuses (He et al. 2017, section 3.4.1)."""

_SHARED_BY_PARTS = {
    *("model", "factors", "tower", "pretrain", "pretrain_alpha", "pretrain_overrides", "device"),
    *("processes_per_host", "refit"),
}


class Hyperparameters(Parameters, extra="forbid"):
    """Settings on which the weights of a model depend, beside the data."""

    model: ModelName = Field(
        "history",
        description="Network: history, a GMF whose user is the mean of the user's items; or gmf, mlp, neumf (both) of "
        "He et al. 2017",
    )
    epochs: int = Field(8, ge=1, le=1000, description="Passes over the positives, which the schedule spans")
    factors: int = Field(64, ge=1, le=4096, description="Width of the GMF embeddings (history, gmf, neumf)")
    history: int = Field(
        100,
        ge=1,
        le=MAX_LATEST_ITEMS,
        description="Number of a user's latest items that make up the user, weighted by recency (history); data "
        "without times take all items",
    )
    tower: list[int] = Field(
        [64, 32, 16],
        description="Widths of the MLP (mlp, neumf): user and item embedding together, then hidden layers",
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="Share of hidden units dropped in training (mlp, neumf); 0: none"
    )
    user_dropout: float = Field(
        0.2, ge=0, lt=1, description="Share of the elements of a user's vector dropped in training (history); 0: none"
    )
    negatives: int = Field(
        4, ge=1, le=100, description="Negatives drawn for each positive in each epoch (gmf, mlp, neumf)"
    )
    shared_negatives: int = Field(
        4096,
        ge=1,
        le=1 << 20,
        description="Negatives drawn for each step by popularity, for all of its positives (history); if the catalogue "
        "has no more items, all of them",
    )
    batch_size: int = Field(
        0,
        ge=0,
        le=1 << 24,
        description="Samples in a step, positives and negatives; 0: by the size of the data",
    )
    learning_rate: float = Field(
        0.015, gt=0, le=1, description=f"Adam's step size at its peak, for a batch of {_REFERENCE_BATCH}"
    )
    warmup: float = Field(
        0.1, ge=0, le=100, description="Epochs in which the learning rate rises from 0 to its peak; 0: none"
    )
    l2: float = Field(
        0.0075,
        ge=0,
        le=1000,
        description="L2 regularisation of the embeddings, once for each sample of a user or item (gmf, mlp, neumf); 0: "
        "none",
    )
    tower_l2: float = Field(
        1e-5, ge=0, le=1000, description="L2 regularisation of the tower's weights in each step (mlp, neumf); 0: none"
    )
    gmf_output: Literal["fixed", "learned"] = Field(
        "fixed",
        description="Weights of the GMF in the output layer: fixed (all 1, as in matrix factorisation) or learned "
        "(gmf, neumf)",
    )
    init_std: float = Field(0.05, gt=0, le=10, description="Standard deviation of the initial embeddings")
    patience: int = Field(
        4,
        ge=0,
        le=1000,
        description="Epochs without a better validation NDCG before selection stops; 0: never",
    )
    validation: Literal["catalogue", "sampled"] = Field(
        "catalogue",
        description="What the validation positives are ranked among to select the number of epochs: catalogue (all "
        "items, for at most 10,000 users) or sampled (the candidates of negative-sampling)",
    )
    refit: bool = Field(
        True,
        description="Whether to fit the model once more to host it, on training, validation and test positives "
        "together; the evaluated weights stay beside it. About a third of the training time; false: the evaluated "
        "weights are hosted",
    )
    pretrain: bool = Field(
        False, description="Whether to train a GMF and an MLP first and start from both (neumf only)"
    )
    pretrain_overrides: dict[str, dict[str, Any]] = Field(
        {},
        description="Other hyperparameters for these two, as {gmf: {name: value}, mlp: {name: value}}",
    )
    pretrain_alpha: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Weight of the pre-trained GMF, 0 to 1; the MLP has the rest (alpha in the paper)",
    )
    precision: Literal["float32", "mixed"] = Field(
        "float32",
        description="float32, or mixed: bfloat16 products in the tower, for GPUs (mlp, neumf)",
    )
    seed: int = seed_field("Seed of every random number")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to compute; auto: GPU if there is one")
    processes_per_host: int = Field(
        0, ge=0, le=256, description="Training processes on each host; 0: one for each GPU, or one"
    )

    @model_validator(mode="after")
    def _tower_has_layers(self) -> Self:
        tower = self.tower
        if len(tower) < 2 or not all(1 <= width <= 16384 for width in tower) or tower[0] % 2:
            raise ValueError(
                f"parameter 'tower' is {tower}: expected at least two widths from 1 to 16384, "
                "the first one even (user and item embedding side by side)"
            )
        return self

    @model_validator(mode="after")
    def _can_be_pretrained(self) -> Self:
        if self.pretrain and self.model != "neumf":
            raise ValueError(
                f"parameter 'pretrain' is true, but 'model' is '{self.model}': only neumf has parts; set model to neumf"
            )
        for part in self.pretrain_overrides:
            if part not in PARTS:
                raise ValueError(f"parameter 'pretrain_overrides' has '{part}'; expected {' and '.join(PARTS)}")
            self.of_part(part)
        return self

    def of_part(self, part: str) -> "Hyperparameters":
        """The settings that a part of a NeuMF, ``gmf`` or ``mlp``, is trained with before both are joined.

        Raises:
            ValueError: if ``pretrain_overrides`` sets what both must share, does not exist, or is out of bounds.
        """
        overrides = self.pretrain_overrides.get(part, {})
        accepted = sorted(Hyperparameters.model_fields.keys() - _SHARED_BY_PARTS)
        if wrong := sorted(overrides.keys() - set(accepted)):
            raise ValueError(
                f"parameter 'pretrain_overrides' sets {', '.join(wrong)} of {part}; expected some of "
                f"{', '.join(accepted)}"
            )
        own = {name: getattr(self, name) for name in Hyperparameters.model_fields}
        return Hyperparameters(**{**own, **overrides, "model": part, "pretrain": False, "pretrain_overrides": {}})

    def training_settings(self) -> "Hyperparameters":
        """The hyperparameters without the fields of a subclass."""
        return Hyperparameters(**{name: getattr(self, name) for name in Hyperparameters.model_fields})

    @property
    def samples_per_positive(self) -> int:
        """Samples of a positive in a step: itself and its own negatives."""
        return 1 if self.model == "history" else 1 + self.negatives

    def positives_per_batch(self, n_positives: int) -> int:
        """Positives in a step over all processes, each of which brings its negatives.

        Unless ``batch_size`` is set, the batch grows with the data, so that an epoch of small data has enough steps and
        one of large data has large, fast steps.
        """
        samples = self.samples_per_positive
        if self.batch_size:
            return max(1, self.batch_size // samples)
        low, high = _BATCH_BOUNDS
        wanted = n_positives * samples / _STEPS_PER_EPOCH[self.model == "history"]
        return max(1, round(min(high, max(low, wanted))) // samples)

    def scaled_learning_rate(self, positives_per_batch: int) -> float:
        """Peak learning rate for a batch: Adam's grows with the square root of the batch's size."""
        batch = positives_per_batch * self.samples_per_positive
        return self.learning_rate * math.sqrt(batch / _REFERENCE_BATCH)


CHAMPION = "champion"
"""Value of ``warm_start`` of the train stage: the model that would be replaced."""


class WarmStart(Parameters):
    """The earlier model that a warm start begins with."""

    warm_start: str = Field(
        "",
        description="Model folder, path or S3 URI, to start from: the users and items that it knows keep their "
        f"embeddings; '': random weights; in the train stage also '{CHAMPION}': the live model, see "
        "'champion_endpoint', or random weights if there is none",
    )

    def check_start(self, pretrain: bool) -> None:
        """Raise a ValueError if both a warm start and pre-training are set."""
        if self.warm_start and pretrain:
            raise ValueError(
                "parameters 'warm_start' and 'pretrain' are both set: a model starts from an earlier one or from its "
                "parts; leave one out"
            )
