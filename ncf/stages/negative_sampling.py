"""The negative-sampling stage: candidates for evaluation and negatives for training."""

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
    """Draw the negatives of each held-out positive for evaluation, and optionally those for training.

    Follows He et al. 2017, section 4.1: a held-out item is ranked among 99 items without an interaction of its user.
    """

    pod = Pod(memory="4G")
    calls = ("ncf.storage",)

    dataset: str = Input("Dataset", "Folder written by preprocess")
    candidates: int = Field(99, ge=1, le=10_000, description="Number of negatives per validation and test positive")
    candidates_strategy: Strategy = Field(
        "uniform", description="Distribution of these negatives: 'uniform', or 'popularity' (by training interactions)"
    )
    rounds: int = Field(
        0,
        ge=0,
        le=1000,
        description="Number of rounds of training negatives to write; 0: training draws new ones in each epoch",
    )
    rounds_strategy: Strategy = Field(
        "uniform", description="Distribution of the training negatives: 'uniform' or 'popularity'"
    )
    negatives: int = Field(4, ge=1, le=1000, description="Number of negatives per training positive in a round")
    shards: int = Field(1, ge=1, le=1000, description="Number of files in a round, for distributed readers")
    seed: int = seed_field("Seed of all draws; equal seeds give equal bytes")

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
