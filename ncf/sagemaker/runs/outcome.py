"""Outcome of a run, derived from its training jobs, endpoints and outputs.

The state that KFP passes to an exit handler is not the outcome: it is RUNNING in most runs that succeed, and FAILED as
soon as one try of one task has failed. Where the evidence is insufficient, the outcome is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

TRAIN, EVALUATE, REGISTER, DEPLOY, MONITOR = "train", "evaluate", "register", "deploy", "monitor"
LATER = ("on_approval", "never")
"""Values of the parameter 'release' by which the run deploys nothing."""
PROOFS = ("CACHED", "COMPLETE", "SUCCEEDED")
"""KFP's states that prove success. No other state proves anything."""
SERVING = ("InService", "Updating", "SystemUpdating")
IN_PROGRESS = "InProgress"

_KFP_FAILED = "KFP's state is FAILED, as after any failed try of a task"

Outcome = Literal["succeeded", "failed", "unknown"]


@dataclass(frozen=True)
class Job:
    """A job of the run.

    Attributes:
        name: of the job.
        status: SageMaker's.
        url: of the job in the console.
        reason: SageMaker's, unless the job has completed.
        is_stopped: whether the job was in progress, and has been stopped.
        note: result of the stop; '' for a job that was not in progress.
        words: its kind, in words.
    """

    name: str
    status: str
    url: str
    reason: str = ""
    is_stopped: bool = False
    note: str = ""
    words: str = "training job"


@dataclass(frozen=True)
class RunEndpoint:
    """An endpoint that the run deploys to.

    Attributes:
        name: of the endpoint.
        status: SageMaker's.
        url: of the endpoint in the console.
        run: whose model it serves, or will serve after the update in progress.
        is_deployed: whether deploy has brought its config into service and tested it.
        is_new: whether this run has created it.
        reason: SageMaker's, after a failure.
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
    """Outputs of the run under the pipeline root.

    Attributes:
        folder: S3 URI of the run's folder.
        started: stages with any object.
        completed: stages with outputs, which KFP uploads when a stage has succeeded.
        gate: whether it is open; None if evaluate's metrics do not say.
    """

    folder: str
    started: frozenset[str]
    completed: frozenset[str]
    gate: bool | None = None


@dataclass(frozen=True)
class Evidence:
    """The known facts about a run at its end.

    Attributes:
        run: its ID.
        kfp_state: that KFP passes to the exit handler; '' for none.
        jobs: training jobs of the run, the oldest first.
        endpoints: of the run.
        outputs: of the run; None if they cannot be read.
        incomplete: ``jobs``, ``endpoints`` or ``outputs``, if they are not known completely -> the reason.
        trains: whether it trains a model; a run of the release pipeline does not.
        release: parameter of register; '' for a pipeline without this stage, which releases at once.
        last: stage that the run ends with: ``DEPLOY``, or ``MONITOR`` for a run that deploys nothing.
        others: jobs of other kinds, which were in progress.
    """

    run: str
    kfp_state: str
    jobs: Sequence[Job] = ()
    endpoints: Sequence[RunEndpoint] = ()
    outputs: Outputs | None = None
    incomplete: Mapping[str, str] = field(default_factory=dict)
    trains: bool = True
    release: str = ""
    last: str = DEPLOY
    others: Sequence[Job] = ()


@dataclass(frozen=True)
class Verdict:
    """The outcome of a run, and its reason.

    Attributes:
        outcome: of the run.
        reason: the evidence, in a sentence.
        where: the run failed, such as "in deploy"; '' unless it failed.
    """

    outcome: Outcome
    reason: str
    where: str = ""

    @property
    def title(self) -> str:
        if self.outcome == "unknown":
            return "outcome unknown, see the run"
        return f"{self.outcome} {self.where}".rstrip()


def verdict(evidence: Evidence) -> Verdict:
    """The outcome of a run: succeeded or failed if that is proven, else unknown."""
    judged = _by_outputs(evidence) or _by_endpoints(evidence) or _by_jobs(evidence)
    has_succeeded = judged is not None and judged.outcome == "succeeded"
    if evidence.kfp_state in PROOFS:
        shown = f"; {judged.reason}" if judged and has_succeeded else ""
        return Verdict("succeeded", f"KFP's state is {evidence.kfp_state}{shown}")
    if judged and has_succeeded and evidence.kfp_state == "FAILED":
        return Verdict("succeeded", f"{judged.reason}; it succeeded after a retry: {_KFP_FAILED}")
    return judged or Verdict("unknown", _insufficient(evidence))


def _by_outputs(evidence: Evidence) -> Verdict | None:
    outputs = evidence.outputs
    if outputs is None:
        return None
    last = evidence.last
    deployed = f"; {_endpoints(evidence)}" if last == DEPLOY else ""
    if last in outputs.completed:
        return Verdict("succeeded", f"{last} has succeeded{deployed}")
    if not evidence.trains:
        where = f"in {last}" if last in outputs.started else f"before {last}"
        return Verdict("failed", f"{last} has not succeeded{deployed}", where)
    if EVALUATE not in outputs.completed or outputs.gate is None:
        return None
    if evidence.release and REGISTER not in outputs.completed:
        folder = f"{outputs.folder}/{REGISTER}/"
        return Verdict("failed", f"evaluate has succeeded, but register has no outputs in {folder}", "in register")
    if not outputs.gate:
        return Verdict("succeeded", "the gate is closed, so nothing was deployed")
    if evidence.release in LATER:
        return Verdict("succeeded", f"release is {evidence.release}, so nothing was deployed")
    return Verdict("failed", f"the gate is open, but deploy has not succeeded; {_endpoints(evidence)}", "in deploy")


def _by_endpoints(evidence: Evidence) -> Verdict | None:
    own = [endpoint for endpoint in evidence.endpoints if endpoint.run == evidence.run]
    if any(endpoint.is_deployed and endpoint.status in SERVING for endpoint in own):
        return Verdict("succeeded", f"its model is deployed and tested; {_endpoints(evidence)}")
    if any(not endpoint.is_deployed for endpoint in own):
        return Verdict("failed", f"deploy was interrupted; {_endpoints(evidence)}", "in deploy")
    return None


def _by_jobs(evidence: Evidence) -> Verdict | None:
    if not evidence.trains:
        return None
    completed = evidence.outputs.completed if evidence.outputs else frozenset[str]()
    if EVALUATE in completed:
        return None  # the gate is not known
    if not evidence.jobs:
        if "jobs" in evidence.incomplete or TRAIN in completed:
            return None
        return Verdict("failed", "the run has started no training job", "before training")
    last = evidence.jobs[-1]
    if last.status != "Completed":
        return Verdict("failed", job_text(last), "in train")
    if evidence.outputs is None or TRAIN not in evidence.outputs.started:
        return None
    stage = EVALUATE if TRAIN in completed else TRAIN
    folder = f"{evidence.outputs.folder}/{stage}/"
    return Verdict(
        "failed", f"training job {last.name} completed, but {stage} has no outputs in {folder}", f"in {stage}"
    )


def _insufficient(evidence: Evidence) -> str:
    state = evidence.kfp_state
    kfp = f"KFP's state is {state}, which proves nothing" if state else "KFP passes no state"
    kfp = _KFP_FAILED if state == "FAILED" else kfp
    jobs = [job_text(job) for job in evidence.jobs[-1:]] or ["no training job was found"] * evidence.trains
    incomplete = [f"{kind} are not known: {reason}" for kind, reason in evidence.incomplete.items()]
    return "; ".join([kfp, *jobs, *incomplete])


def _endpoints(evidence: Evidence) -> str:
    if not evidence.endpoints:
        return "its endpoint is not known" if "endpoints" in evidence.incomplete else "the run has no endpoint"
    return "; ".join(endpoint_text(endpoint, evidence.run) for endpoint in evidence.endpoints)


def job_text(job: Job) -> str:
    """A job and its state, in words."""
    parts = [job.status, job.reason, job.note]
    return f"{job.words} {job.name}: {', '.join(part for part in parts if part)}"


def endpoint_text(endpoint: RunEndpoint, run: str) -> str:
    """An endpoint and its state, in words, with advice after an interrupted deploy.

    Args:
        endpoint: of the run.
        run: ID of the run.
    """
    if endpoint.run != run:
        serves = f"it serves the model of run {endpoint.run}"
    elif endpoint.is_deployed:
        serves = "it serves this run's model"
    else:
        command, effect = (
            (f"clean --run {run}", "deletes it") if endpoint.is_new else (f"rollback {endpoint.name}", "rolls it back")
        )
        serves = f"this run's model, untested; the update continues; after it, 'ncf {command}' {effect}"
    parts = [endpoint.status, endpoint.reason, serves]
    return f"endpoint {endpoint.name}: {', '.join(part for part in parts if part)}"
