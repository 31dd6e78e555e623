"""How a run ended, judged from what it has left behind.

KFP tells an exit handler a state, not an end: RUNNING in most runs that succeed, FAILED as soon as one try of one task
has failed. So the training jobs, the endpoint and the outputs of the run are asked, and where they do not tell either,
the end is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

TRAIN, EVALUATE, DEPLOY = "train", "evaluate", "deploy"
PROOFS = ("CACHED", "COMPLETE", "SUCCEEDED")
"""KFP's states that prove a good end; no other state proves anything."""
SERVING = ("InService", "Updating", "SystemUpdating")
IN_PROGRESS = "InProgress"

_TOLD_FAILED = "KFP says FAILED, as it does once any try of a task has failed"

Outcome = Literal["succeeded", "failed", "unknown"]


@dataclass(frozen=True)
class Job:
    """A training job of the run.

    Attributes:
        name: of the job.
        status: SageMaker's.
        url: of the console.
        reason: SageMaker's, where it did not complete.
        is_stopped: whether it was found in progress and told to stop.
        note: what became of it, where it was found in progress; '' otherwise.
    """

    name: str
    status: str
    url: str
    reason: str = ""
    is_stopped: bool = False
    note: str = ""


@dataclass(frozen=True)
class Endpoint:
    """An endpoint that the run deploys to.

    Attributes:
        name: of the endpoint.
        status: SageMaker's.
        url: of the console.
        run: whose model it serves, or is to serve once what is under way has ended.
        is_deployed: whether deploy has brought up and tested the config that it serves.
        is_new: whether this run has created it.
        reason: SageMaker's, where something failed.
    """

    name: str
    status: str
    url: str
    run: str
    is_deployed: bool
    is_new: bool
    reason: str = ""


@dataclass(frozen=True)
class Outputs:
    """What lies under the pipeline root.

    Attributes:
        place: S3 URI of the run's folder.
        begun: stages of which anything is there.
        ended: stages whose outputs are there: KFP uploads them when a stage has ended well.
        gate: whether it is open; None if evaluate does not say.
    """

    place: str
    begun: frozenset[str]
    ended: frozenset[str]
    gate: bool | None = None


@dataclass(frozen=True)
class Evidence:
    """All that is known of a run at its end.

    Attributes:
        run: its ID.
        told: KFP's state; '' if KFP tells none.
        jobs: of the run, the oldest first.
        endpoints: of the run.
        outputs: of the run; None if they cannot be read.
        unseen: ``jobs``, ``endpoints`` or ``outputs``, where they are not known in full -> why not.
    """

    run: str
    told: str
    jobs: Sequence[Job] = ()
    endpoints: Sequence[Endpoint] = ()
    outputs: Outputs | None = None
    unseen: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """How the run ended.

    Attributes:
        outcome: of the run.
        where: it failed, as in "failed in deploy"; '' unless it did.
        reason: the evidence in a sentence.
    """

    outcome: Outcome
    reason: str
    where: str = ""

    @property
    def title(self) -> str:
        if self.outcome == "unknown":
            return "unknown how it ended, see the run"
        return f"{self.outcome} {self.where}".rstrip()


def verdict(evidence: Evidence) -> Verdict:
    """How the run ended, as a pipeline of train, evaluate and deploy: succeeded and failed are proven, else unknown."""
    judged = _by_outputs(evidence) or _by_endpoints(evidence) or _by_jobs(evidence)
    has_succeeded = judged is not None and judged.outcome == "succeeded"
    if evidence.told in PROOFS:
        shown = f"; {judged.reason}" if judged and has_succeeded else ""
        return Verdict("succeeded", f"KFP says {evidence.told}{shown}")
    if judged and has_succeeded and evidence.told == "FAILED":
        return Verdict("succeeded", f"{judged.reason}; it succeeded after a retry: {_TOLD_FAILED}")
    return judged or Verdict("unknown", _nothing_proven(evidence))


def _by_outputs(evidence: Evidence) -> Verdict | None:
    outputs = evidence.outputs
    if outputs is None:
        return None
    if DEPLOY in outputs.ended:
        return Verdict("succeeded", f"deploy has ended well; {_endpoints(evidence)}")
    if EVALUATE not in outputs.ended or outputs.gate is None:
        return None
    if not outputs.gate:
        return Verdict("succeeded", "the gate is closed: nothing was deployed, on purpose")
    reason = f"the gate is open, but deploy has not ended well; {_endpoints(evidence)}"
    return Verdict("failed", reason, "in deploy")


def _by_endpoints(evidence: Evidence) -> Verdict | None:
    own = [endpoint for endpoint in evidence.endpoints if endpoint.run == evidence.run]
    if any(endpoint.is_deployed and endpoint.status in SERVING for endpoint in own):
        return Verdict("succeeded", f"its model is deployed and tested; {_endpoints(evidence)}")
    if any(not endpoint.is_deployed for endpoint in own):
        return Verdict("failed", f"deploy was cut short; {_endpoints(evidence)}", "in deploy")
    return None


def _by_jobs(evidence: Evidence) -> Verdict | None:
    ended = evidence.outputs.ended if evidence.outputs else frozenset[str]()
    if EVALUATE in ended:
        return None  # the gate is not known
    if not evidence.jobs:
        if "jobs" in evidence.unseen or TRAIN in ended:
            return None
        return Verdict("failed", "the run has started no training job", "before training")
    last = evidence.jobs[-1]
    if last.status != "Completed":
        return Verdict("failed", job_text(last), "in train")
    if evidence.outputs is None or TRAIN not in evidence.outputs.begun:
        return None
    stage = EVALUATE if TRAIN in ended else TRAIN
    reason = f"training job {last.name} completed, but {stage} has left no outputs in {evidence.outputs.place}/{stage}/"
    return Verdict("failed", reason, f"in {stage}")


def _nothing_proven(evidence: Evidence) -> str:
    told = f"KFP says {evidence.told}, which proves no end" if evidence.told else "KFP says nothing"
    told = _TOLD_FAILED if evidence.told == "FAILED" else told
    jobs = [job_text(job) for job in evidence.jobs[-1:]] or ["no training job was found"]
    unseen = [f"{what} cannot be seen: {why}" for what, why in evidence.unseen.items()]
    return "; ".join([told, *jobs, *unseen])


def _endpoints(evidence: Evidence) -> str:
    if not evidence.endpoints:
        return "its endpoint cannot be seen" if "endpoints" in evidence.unseen else "there is no endpoint of the run"
    return "; ".join(endpoint_text(endpoint, evidence.run) for endpoint in evidence.endpoints)


def job_text(job: Job) -> str:
    """A job and its state in words."""
    parts = [job.status, job.reason, job.note]
    return f"training job {job.name}: {', '.join(part for part in parts if part)}"


def endpoint_text(endpoint: Endpoint, run: str) -> str:
    """An endpoint and its state in words, as a run sees it; with what to do about one that was cut short."""
    if endpoint.run != run:
        serves = f"it serves the model of run {endpoint.run}"
    elif endpoint.is_deployed:
        serves = "it serves this run's model"
    else:
        command, effect = (
            (f"clean --run {run}", "removes it") if endpoint.is_new else (f"rollback {endpoint.name}", "goes back")
        )
        serves = f"this run's model, untested; what was begun goes on by itself; once it has, 'ncf {command}' {effect}"
    parts = [endpoint.status, endpoint.reason, serves]
    return f"endpoint {endpoint.name}: {', '.join(part for part in parts if part)}"
