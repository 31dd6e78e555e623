"""``ncf fit``: train here, which is what the training container does."""

import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from ncf.data import dataset as dataset_layout
from ncf.data import manifest
from ncf.data.dataset import Dataset
from ncf.errors import InputError
from ncf.models.model_folder import ModelFolder
from ncf.sampling.samples import Samples
from ncf.stage import Input, Output, Stage
from ncf.storage import is_s3, local_copy
from ncf.training import cpu
from ncf.training.history import compared_metrics
from ncf.training.hyperparameters import Hyperparameters
from ncf.training.launch import is_worker, processes_per_host, run_processes

_NOT_IN_CHECKPOINTS = {"device", "processes_per_host"}
"""What may change between a checkpoint and the run that goes on from it."""


class Fit(Stage, Hyperparameters):
    """Train a model on this machine.

    The number of epochs is chosen on the validation positives; then one fit on training and validation
    positives gives the model. With several processes, each owns a part of the users.
    """

    dataset: str = Input("Dataset", "Folder written by preprocess")
    samples: str = Input("Dataset", "Folder written by negative-sampling for that data set")
    checkpoints: str = Field(
        "", description="Folder for a checkpoint after each epoch, to go on from where it holds one; '': none"
    )

    trained_model: Path = Output("Model", "Weights and all that evaluating and serving them needs")
    metrics: Path = Output("Metrics", "Metrics on the validation positives, the best epoch and the speed")

    def run(self) -> None:
        cpu.prepare()
        if is_s3(self.checkpoints):
            raise InputError(f"parameter 'checkpoints' is '{self.checkpoints}': expected a folder on this machine")
        settings = self.training_settings()
        processes = processes_per_host(settings)
        if processes > 1 and not is_worker():
            run_processes(["-m", "ncf", "fit", *self.arguments()], processes)
            return
        with local_copy(self.dataset) as dataset_folder, local_copy(self.samples) as samples_folder:
            self._train(settings, dataset_folder, samples_folder)

    def arguments(self) -> list[str]:
        """The command line that gives this very instance."""
        values = self.model_dump(mode="json").items()
        return [
            part
            for name, value in values
            for part in (
                f"--{name.replace('_', '-')}",
                value if isinstance(value, str) else json.dumps(value),
            )
        ]

    def _train(self, settings: Hyperparameters, dataset_folder: Path, samples_folder: Path) -> None:
        from ncf.training.checkpoint import Checkpoints
        from ncf.training.distributed import joined
        from ncf.training.golden import golden_answers
        from ncf.training.trainer import Trainer

        dataset, samples = Dataset.load(dataset_folder), Samples.load(samples_folder)
        fingerprint = manifest.fingerprint(manifest.read(dataset_folder, dataset_layout.KIND))
        if samples.dataset != fingerprint:
            raise InputError(f"{self.samples}: drawn for another data set than {self.dataset}; run negative-sampling")
        identity = settings.model_dump(mode="json", exclude=_NOT_IN_CHECKPOINTS)
        identity |= {"dataset": fingerprint, "samples": samples.fingerprint}
        with joined(settings.device) as world, _termination(bool(self.checkpoints)) as stop_requested:
            checkpoints = Checkpoints(Path(self.checkpoints), identity) if self.checkpoints else None
            trainer = Trainer(dataset, samples, settings, world, checkpoints, stop_requested)
            weights = trainer.run()
        if not world.is_first:
            raise SystemExit(0)  # the first process writes for all
        history: dict[str, Any] = {
            "selection": trainer.history["selection"],
            "final": trainer.history["final"],
            "best_epoch": trainer.best_epoch,
            "hyperparameters": settings.model_dump(mode="json"),
            "samples_per_second": trainer.samples_per_second,
        }
        ModelFolder(
            config=trainer.config,
            weights=weights,
            user_ids=dataset.user_ids,
            item_ids=dataset.item_ids,
            item_titles=dataset.item_titles,
            train=trainer.positives,
            seen=dataset.positives(),
            popularity=np.bincount(trainer.positives.items, minlength=dataset.n_items),
            history=history,
            golden=golden_answers(trainer.config, weights, dataset.user_ids, dataset.item_ids),
        ).save(self.trained_model, settings.model_dump(mode="json"), {"fingerprint": fingerprint})
        self.metrics.write_text(json.dumps(compared_metrics(history), indent=2) + "\n")


@contextmanager
def _termination(deferred: bool) -> Iterator[Callable[[], bool]]:
    """If ``deferred``, SIGTERM is noted rather than obeyed; yields what tells whether it came."""
    came: list[int] = []
    if not deferred or threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    previous = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))  # noqa: ARG005
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGTERM, previous)
