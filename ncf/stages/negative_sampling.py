"""The negative-sampling stage: candidates for evaluation and negatives for training."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from ncf.artifacts import dataset as dataset_layout
from ncf.artifacts import manifest
from ncf.artifacts.dataset import Dataset
from ncf.artifacts.provenance import made_by
from ncf.sampling.candidates import draw_candidates
from ncf.sampling.negatives import Strategy
from ncf.seed import seed_field
from ncf.stage.declaration import Input, Output, Stage
from ncf.stage.pod import Pod
from ncf.storage import local_copy


class NegativeSampling(Stage):
    """Draw the negatives of each held-out positive for evaluation.

    Follows He et al. 2017, section 4.1: a held-out item is ranked among 99 items without an interaction of its user.
    """

    pod = Pod(memory="4G")
    calls = ("ncf.storage",)

    dataset: str = Input("Dataset", "Folder written by preprocess")
    candidates: int = Field(
        99,
        ge=1,
        le=10_000,
        description="Number of negatives per validation and test positive. Users with fewer items left are left out of "
        "the evaluation",
    )
    candidates_strategy: Strategy = Field(
        "uniform", description="Distribution of these negatives: 'uniform', or 'popularity' (by training interactions)"
    )
    seed: int = seed_field("Seed of all draws; equal seeds give equal bytes")

    samples: Path = Output("Dataset", "Candidates of each held-out positive, and the exclusion index")

    def run(self) -> None:
        with local_copy(self.dataset) as folder:
            data = Dataset.load(folder)
            fingerprint = manifest.fingerprint(manifest.read(folder, dataset_layout.KIND))
            samples = draw_candidates(data, self.candidates, self.candidates_strategy, self.seed, fingerprint)
            samples.save(self.samples, self.parameter_values(), made_by(self.pipeline_run()))
