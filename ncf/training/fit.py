"""``ncf fit``: training on this machine, as in the training container."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, model_validator

from ncf.artifacts import dataset as dataset_layout
from ncf.artifacts import manifest, model_folder
from ncf.artifacts import samples as samples_layout
from ncf.artifacts.dataset import Dataset
from ncf.artifacts.model_folder import ModelConfig, ModelFolder
from ncf.artifacts.provenance import source_of_model
from ncf.artifacts.samples import FitName, Samples
from ncf.errors import InputError
from ncf.stage.declaration import Input, Output, Stage
from ncf.storage import is_s3, local_copy
from ncf.training import cpu
from ncf.training.history import compared_metrics
from ncf.training.hyperparameters import Hyperparameters, WarmStart
from ncf.training.launch import is_worker, processes_per_host, run_processes

if TYPE_CHECKING:
    from torch import Tensor

_NOT_IN_CHECKPOINTS = {"device", "processes_per_host"}
"""Hyperparameters that may change between a checkpoint and the run that resumes from it."""


class Fit(Stage, Hyperparameters, WarmStart):
    """Train a model on this machine.

    The number of epochs is selected on the validation positives. One fit on training and validation positives gives the
    model that is evaluated, and one on all positives the model that is hosted. With several processes, each owns a part
    of the users.
    """

    read_too = ("warm_start", "checkpoints")

    dataset: str = Input("Dataset", "Folder written by preprocess")
    samples: str = Input("Dataset", "Folder written by negative-sampling for that data set")
    checkpoints: str = Field(
        "",
        description="Folder of checkpoints, written after each epoch; training resumes from the newest one; '': none",
    )

    threads: int = Field(
        0,
        ge=0,
        le=1024,
        description="Threads of each process; 0: one for each CPU core, shared by the processes of this machine",
    )

    trained_model: Path = Output("Model", "Weights, and the data that evaluation and serving need")
    metrics: Path = Output("Metrics", "Metrics on the validation positives, the best epoch and the speed")

    @model_validator(mode="after")
    def _has_one_start(self) -> Fit:
        self.check_start(self.pretrain)
        return self

    def shares_outputs(self) -> bool:
        return is_worker()  # the first process writes for all

    def run(self) -> None:
        cpu.prepare()
        if is_s3(self.checkpoints):
            raise InputError(f"parameter 'checkpoints' is '{self.checkpoints}': expected a folder on this machine")
        settings = self.training_settings()
        processes = processes_per_host(settings)
        if processes > 1 and not is_worker():
            run_processes(["-m", "ncf", "fit", *self.arguments()], processes)
            return
        with (
            local_copy(self.dataset) as dataset_folder,
            local_copy(self.samples) as samples_folder,
            local_copy(self.warm_start) if self.warm_start else nullcontext() as earlier_folder,
        ):
            self._train(settings, dataset_folder, samples_folder, earlier_folder)

    def arguments(self) -> list[str]:
        """The command line of an equal instance."""
        values = self.model_dump(mode="json").items()
        return [
            part
            for name, value in values
            for part in (
                f"--{name.replace('_', '-')}",
                value if isinstance(value, str) else json.dumps(value),
            )
        ]

    def _train(
        self, settings: Hyperparameters, dataset_folder: Path, samples_folder: Path, earlier_folder: Path | None
    ) -> None:
        from ncf.training.checkpoint import Checkpoints
        from ncf.training.distributed import process_group
        from ncf.training.golden import golden_answers
        from ncf.training.init_weights import warm_started
        from ncf.training.log_lines import FITS
        from ncf.training.machine import machine
        from ncf.training.pretraining import train
        from ncf.training.trainer import Trainer, hosted_config, model_config
        from ncf.training.validation import pairs_in_catalogue

        dataset, samples = Dataset.load(dataset_folder), Samples.load(samples_folder)
        if not settings.refit:
            dataset = dataset.evaluated()
        dataset_manifest = manifest.read(dataset_folder, dataset_layout.KIND)
        samples_manifest = manifest.read(samples_folder, samples_layout.KIND)
        fingerprint = manifest.fingerprint(dataset_manifest)
        if samples.dataset != fingerprint:
            raise InputError(f"{self.samples}: drawn for another data set than {self.dataset}; run negative-sampling")
        inputs = {"dataset": fingerprint, "samples": samples.fingerprint}
        earlier = None
        if earlier_folder is not None:
            earlier = ModelFolder.load(earlier_folder)
            inputs["warm_start"] = manifest.fingerprint(manifest.read(earlier_folder, model_folder.KIND))
        with (
            process_group(settings.device, self.threads) as world,
            _termination(bool(self.checkpoints)) as stop_requested,
        ):

            def make(
                settings: Hyperparameters,
                folder: str,
                start: Mapping[FitName, Mapping[str, Tensor]] | None = None,
                is_part: bool = False,
                may_stay: bool = False,
            ) -> Trainer:
                identity = settings.model_dump(mode="json", exclude=_NOT_IN_CHECKPOINTS) | inputs
                checkpoints = Checkpoints(Path(self.checkpoints) / folder, identity) if self.checkpoints else None
                return Trainer(dataset, samples, settings, world, checkpoints, stop_requested, start, is_part, may_stay)

            def warm() -> Mapping[FitName, Mapping[str, Tensor]]:
                assert earlier is not None
                if not world.is_first:
                    return {fit: {} for fit in FITS}

                def started(config: ModelConfig) -> Mapping[str, Tensor]:
                    assert earlier is not None
                    popularity = np.bincount(dataset.train.items, minlength=config.n_items)
                    ids = dataset.user_ids[: config.n_users], dataset.item_ids[: config.n_items]
                    return warm_started(earlier, config, *ids, popularity, settings.seed, settings.init_std)

                evaluated, hosted = model_config(settings, dataset), hosted_config(settings, dataset)
                known = started(evaluated)
                return {
                    "selection": known,
                    "final": known,
                    "hosted": known if hosted == evaluated else started(hosted),
                }

            trained = train(settings, make, None if earlier is None else warm)
            ran_on = machine(world)
        if not world.is_first:
            raise SystemExit(0)  # the first process writes for all
        trainer, record = trained.trainer, trained.trainer.record
        weights = {
            fit: {name: weight.numpy() for name, weight in of_fit.items()} for fit, of_fit in trained.weights.items()
        }
        hosted, seen = weights.get("hosted"), dataset.positives()
        ranked, candidates = samples.validation, samples.validation_candidates.shape[1]
        if settings.validation == "catalogue":
            ranked, candidates = pairs_in_catalogue(samples, trainer.config), dataset.n_items - 1
        history: dict[str, Any] = {
            "selection": record.epochs["selection"],
            "final": record.epochs["final"],
            "hosted": record.epochs["hosted"],
            "best_epoch": record.best_epoch,
            "start": record.start_metrics,
            "parts": trained.parts,
            "hyperparameters": settings.model_dump(mode="json"),
            "samples_per_second": record.samples_per_second,
            "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "validation": {
                "positives": len(ranked),
                "candidates": candidates,
            },
        }
        ModelFolder(
            config=trainer.config,
            weights=weights["final"],
            hosted_weights=hosted,
            user_ids=dataset.user_ids,
            item_ids=dataset.item_ids,
            item_titles=dataset.item_titles,
            train=trainer.positives,
            seen=seen,
            seen_days=dataset.positive_days(),
            popularity=np.bincount(trainer.positives.items, minlength=dataset.n_items),
            history=history,
            golden=golden_answers(
                trainer.hosted_config, hosted or weights["final"], dataset.user_ids, dataset.item_ids, seen
            ),
        ).save(
            self.trained_model,
            settings.model_dump(mode="json"),
            source_of_model(dataset_manifest, samples_manifest, inputs, ran_on),
        )
        self.metrics.write_text(json.dumps(compared_metrics(history), indent=2) + "\n")


@contextmanager
def _termination(deferred: bool) -> Iterator[Callable[[], bool]]:
    """A function that returns whether SIGTERM was received. If ``deferred``, the signal has no other effect."""
    received: list[int] = []
    if not deferred or threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    previous = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))  # noqa: ARG005
    try:
        yield lambda: bool(received)
    finally:
        signal.signal(signal.SIGTERM, previous)
