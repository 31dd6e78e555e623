"""Verification of the outcome of a run in the stand-in.

verify.py open ENDPOINT JOBS        the gate was open: the endpoint is in service and recommends
verify.py closed ENDPOINT JOBS      the gate was closed: there is no such endpoint

JOBS is the expected number of completed training jobs, one for each run. The environment directs boto3 to the stand-in.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import boto3

K = 5
USERS = ["u0", "u1"]
"""Two of the generated users."""


def jobs_fault(sagemaker: Any, expected: int) -> str:
    """Fault of the training jobs; '' for none."""
    jobs = {entry["TrainingJobName"]: entry["TrainingJobStatus"] for entry in list_jobs(sagemaker)}
    completed = sum(status == "Completed" for status in jobs.values())
    return "" if completed == len(jobs) == expected else f"expected {expected} Completed training jobs, found {jobs}"


def list_jobs(sagemaker: Any) -> list[dict[str, Any]]:
    pages = sagemaker.get_paginator("list_training_jobs").paginate()
    return [entry for page in pages for entry in page["TrainingJobSummaries"]]


def open_fault(sagemaker: Any, runtime: Any, endpoint: str) -> str:
    """Fault of the endpoint after an open gate; '' for none."""
    if endpoint not in (names := endpoint_names(sagemaker)):
        return f"there is no endpoint {endpoint}, though the gate was open; there are {names}"
    if (status := sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"]) != "InService":
        return f"endpoint {endpoint} is {status}; expected InService"
    answer = runtime.invoke_endpoint(
        EndpointName=endpoint, ContentType="application/json", Body=json.dumps({"users": USERS, "k": K})
    )
    content = json.loads(answer["Body"].read())
    got = {entry["user"]: (entry["source"], len(entry["items"])) for entry in content["recommendations"]}
    expected = dict.fromkeys(USERS, ("model", K))
    return "" if got == expected else f"endpoint {endpoint} answered {got}; expected {expected}"


def closed_fault(sagemaker: Any, endpoint: str) -> str:
    """Fault of the endpoint after a closed gate; '' for none."""
    names = endpoint_names(sagemaker)
    return f"there is an endpoint {endpoint}, though the gate was closed" if endpoint in names else ""


def endpoint_names(sagemaker: Any) -> list[str]:
    pages = sagemaker.get_paginator("list_endpoints").paginate()
    return [entry["EndpointName"] for page in pages for entry in page["Endpoints"]]


def main(arguments: list[str]) -> None:
    gate, endpoint, jobs = arguments
    sagemaker, runtime = boto3.client("sagemaker"), boto3.client("sagemaker-runtime")
    found = open_fault(sagemaker, runtime, endpoint) if gate == "open" else closed_fault(sagemaker, endpoint)
    if fault := jobs_fault(sagemaker, int(jobs)) or found:
        sys.exit(fault)
    print(f"gate {gate}: as expected")


if __name__ == "__main__":
    main(sys.argv[1:])
