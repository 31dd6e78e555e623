"""The recommend stage: recommendations for all users."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from ncf.api.limits import MAX_K
from ncf.aws.settings import Region
from ncf.models.limits import CANDIDATES, EXACT_UP_TO
from ncf.stage.declaration import Alternative, Input, Output, Stage, check_one_given
from ncf.stage.pod import Pod
from ncf.storage import local_copy

if TYPE_CHECKING:
    from ncf.artifacts.model_folder import ModelFolder
    from ncf.batch.checkpoints import Checkpoints
    from ncf.batch.tables import Tables
    from ncf.batch.users import Users

KIND = "recommendations"
PARTS = "parts"
_ROWS_A_PART = 500_000
_RECALL_USERS = 50
_LEAST_RECALL = 0.99
_log = logging.getLogger(__name__)


class Recommend(Stage, Region):
    """Write the top-k items of all users, or of a list of users, as partitioned parquet.

    Scorer and rules are those of the endpoint: unknown users get popular items. Columns are user, rank (from 1), item,
    score, title (with titles) and source (model or popular); ids are raw. With 'checkpoints', an interrupted run
    resumes from its finished parts. On the command line, --user ID prints the items of one user instead.
    """

    pod = Pod(cpu="4", memory="8G", blas_threads=False)  # the stage itself runs one thread for each CPU
    calls = ("ncf.storage",)
    alternative = Alternative(
        "--user", "ID", "show", "print the items of one user, beside the history, and write nothing"
    )

    read_too = ("model_uri", "users", "checkpoints")

    model: str = Input("Model", "Folder written by train, or a tar archive of it, such as model.tar.gz", optional=True)
    model_uri: str = Field("", description="S3 URI or path of such a model, instead of the artifact 'model'")
    users: str = Field(
        "",
        description="Path or S3 URI of a file of user ids, one a line, plain or .gz; '': all users of the model",
    )
    top_k: int = Field(10, ge=1, le=MAX_K, description="Number of items for each user")
    exclude_seen: bool = Field(True, description="Whether to exclude items with an interaction of the user")
    with_titles: bool = Field(True, description="Whether to add a column of titles, if the model has titles")
    candidates: int = Field(
        CANDIDATES,
        ge=100,
        le=1_000_000,
        description=f"Minimum number of items to score exactly for a user, in a catalogue of more than {EXACT_UP_TO:,} "
        "items",
    )
    checkpoints: str = Field(
        "",
        description="Path or S3 URI of finished parts, from which a retry of the same batch resumes. Parts in S3 are "
        "not deleted; use a lifecycle rule. '': no checkpoints",
    )

    recommendations: Path = Output("Dataset", "Parquet files with a row for each user and rank, and a manifest")
    metrics: Path = Output("Metrics", "Users, rows, speed, coverage, share of users with popular items, recall")
    summary: Path = Output("Markdown", "Table of the metrics, the columns and the first rows")

    _kept: Checkpoints | None = None

    @model_validator(mode="after")
    def _one_model(self) -> Recommend:
        check_one_given(self, "model", "model_uri")
        return self

    def run(self) -> None:
        from ncf.artifacts.archive import unpacked
        from ncf.artifacts.model_folder import ModelFolder
        from ncf.batch.checkpoints import check_location
        from ncf.batch.tables import Tables
        from ncf.batch.users import Users
        from ncf.cores import limit_blas

        limit_blas(1)  # each thread scores its own users
        check_location(self.checkpoints, "checkpoints")
        with local_copy(self.model or self.model_uri) as copy, unpacked(copy) as folder:
            model = ModelFolder.load(folder)
            if self.users:
                with local_copy(self.users) as path:
                    users = Users.read(path, model.user_ids)
            else:
                users = Users.of_model(model.user_ids)
            tables = Tables(model, self.top_k, self.exclude_seen, self.with_titles, self.candidates)
            self._write(model, users, tables)

    def _write(self, model: ModelFolder, users: Users, tables: Tables) -> None:
        from ncf.artifacts import manifest
        from ncf.batch.checkpoints import Checkpoints
        from ncf.batch.tables import parts
        from ncf.cores import available_cores
        from ncf.progress import progress
        from ncf.reports.recommendations import Totals, recommendations_markdown

        identity = self._identity(model, users)
        kept = Checkpoints(self.recommendations / PARTS, self.checkpoints, _digest(identity))
        slices = list(parts(len(users.ids), max(1, _ROWS_A_PART // self.top_k)))
        totals, start = Totals(), time.monotonic()
        with _threads(available_cores()) as pool, progress("recommending", len(users.ids), "users") as shown:
            for number, part in enumerate(slices):
                name = f"part-{number:05d}-of-{len(slices):05d}.parquet"
                table = kept.restore(name, tables.schema)
                if table is None:
                    table = tables.of(users, part, pool, shown)
                    kept.write(name, table)
                    totals.made += part.stop - part.start
                else:
                    shown.update(part.stop - part.start)
                    totals.parts_resumed += 1
                totals.add(table)
        if totals.parts_resumed:
            _log.info("%d of %d parts were finished by an earlier attempt", totals.parts_resumed, len(slices))
        totals.seconds = time.monotonic() - start
        if not tables.ranker.scores_all(self.top_k):
            totals.recall = tables.recall(users, _RECALL_USERS)
            if totals.recall < _LEAST_RECALL:
                _log.warning(
                    "recall is %.3f on some users; raise 'candidates' above %d", totals.recall, self.candidates
                )
        counts = {"users": len(users.ids), "rows": totals.rows, "parts": len(slices)}
        source = {"fingerprint": _digest(identity), "model": model.version}
        manifest.write(self.recommendations, KIND, counts, self.parameter_values(), source)
        figures = totals.figures(users, model.config.n_items)
        self.metrics.write_text(json.dumps(figures, indent=2) + "\n")
        self.summary.write_text(recommendations_markdown(model.version, figures, tables.schema, totals))
        self._kept = kept

    def published(self) -> None:
        if self._kept is not None:
            self._kept.clear()

    def _identity(self, model: ModelFolder, users: Users) -> dict[str, Any]:
        """Settings, model and users that determine the rows."""
        import ncf

        settings = self.model_dump(include={"top_k", "exclude_seen", "with_titles", "candidates"})
        own = {"ncf": ncf.__version__, "model": model.version, "users": users.digest(), "rows_a_part": _ROWS_A_PART}
        return {**own, **settings}


@contextmanager
def _threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """A thread pool that cancels pending work if the block fails: a terminated pod has 30 seconds to end."""
    with ThreadPoolExecutor(count) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _digest(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
