"""The message about a run's outcome."""

from __future__ import annotations

from typing import Any

from ncf.sagemaker.runs.notification import Message
from ncf.sagemaker.runs.outcome import Evidence, Job, RunEndpoint, Verdict, verdict


def made_job(status: str, number: int, **more: Any) -> Job:
    return Job(f"ncf-train-{number}", status, f"https://console/jobs/{number}", **more)


ENDPOINT = RunEndpoint("ncf-shop", "InService", "https://console/endpoints/ncf-shop", "run-0", True, False)


def test_the_message_names_each_job_and_endpoint_once() -> None:
    jobs = [
        made_job("Failed", 1, reason="out of memory"),
        made_job("InProgress", 2, is_stopped=True, note="abandoned, stopped"),
    ]
    evidence = Evidence("run-1", "RUNNING", jobs, [ENDPOINT], incomplete={"outputs": "not in S3"})
    message = Message(evidence, verdict(evidence))
    assert message.title == "NCF run run-1: failed in train"
    assert message.text.count("ncf-train-2: InProgress, abandoned, stopped") == 1
    for part in ("ncf-train-1: Failed, out of memory", "ncf-shop: InService, it serves", *(job.url for job in jobs)):
        assert part in message.text
    lines = message.markdown("the notification was not delivered: no").splitlines()
    assert "- training job [ncf-train-2](https://console/jobs/2): InProgress, abandoned, stopped" in lines
    assert "- the run's outputs are not known completely: not in S3" in lines
    assert "- the notification was not delivered: no" in lines
    assert message.body()["stopped"] == ["ncf-train-2"]
    assert message.body()["endpoints"] == [
        {"name": "ncf-shop", "status": "InService", "url": "https://console/endpoints/ncf-shop"}
    ]


def test_a_long_title_is_cut_for_sns_alone() -> None:
    message = Message(Evidence("r" * 256, ""), Verdict("unknown", "nothing is known"))
    assert message.title in message.text
