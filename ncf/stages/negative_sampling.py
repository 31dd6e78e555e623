"""The stage that draws negatives."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from ncf.artifacts import dataset as dataset_layout
from ncf.artifacts import manifest
from ncf.artifacts.dataset import Dataset
from ncf.sampling.candidates import draw_candidates, draw_rounds
from ncf.sampling.negatives import Strategy
from ncf.seed import seed_field
from ncf.stage.declaration import Input, Output, Stage
from ncf.stage.pod import Pod
from ncf.storage import local_copy


class NegativeSampling(Stage):
    """Draw the negatives that each held-out positive is ranked against, and those to train with.

    The protocol of He et al. 2017, section 4.1: a held-out item is ranked among 99 items that its user has
    never interacted with.
    """

    pod = Pod(memory="4G")
    calls = ("ncf.storage",)

    dataset: str = Input("Dataset", "Folder written by preprocess")
    candidates: int = Field(99, ge=1, le=10_000, description="Negatives beside each validation and test positive")
    candidates_strategy: Strategy = Field(
        "uniform", description="How those are drawn: 'uniform', or 'popularity' (by training interactions)"
    )
    rounds: int = Field(
        0,
        ge=0,
        le=1000,
        description="Rounds of training negatives to write; with 0 the trainer draws each epoch anew",
    )
    rounds_strategy: Strategy = Field("uniform", description="How rounds are drawn: 'uniform' or 'popularity'")
    negatives: int = Field(4, ge=1, le=1000, description="Negatives of each training positive in a round")
    shards: int = Field(1, ge=1, le=1000, description="Files a round is split into, for distributed readers")
    seed: int = seed_field("Seed of all draws: the same seed gives the same bytes")

    samples: Path = Output("Dataset", "Candidates, exclusion index and rounds of training negatives")

    def run(self) -> None:
        with local_copy(self.dataset) as folder:
            data = Dataset.load(folder)
            fingerprint = manifest.fingerprint(manifest.read(folder, dataset_layout.KIND))
            samples = draw_candidates(data, self.candidates, self.candidates_strategy, self.seed, fingerprint)
            if self.rounds:
                draw_rounds(
                    samples,
                    self.samples,
                    self.rounds,
                    self.shards,
                    self.negatives,
                    self.rounds_strategy,
                    self.seed,
                )
            samples.save(self.samples, self.parameter_values())
