"""A SageMaker that keeps its state in memory behind real boto3 clients.

botocore checks each request and, here, each answer against AWS's own service model.
"""

# ruff: noqa: N803  (arguments are named as in AWS's API)

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.response import StreamingBody
from botocore.validate import validate_parameters

from ncf.aws.names import VARIANT
from ncf.aws.session import Aws

ROLE = "arn:aws:iam::123456789012:role/ncf"
REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PAGE = 3
SERVICES = ("sagemaker", "sagemaker-runtime", "logs", "cloudwatch", "application-autoscaling", "pricing")
ACCOUNT = "arn:aws:sagemaker:us-east-1:123456789012"


class RefusalError(Exception):
    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(code)
        self.code, self.message = code, message


class FakeSageMaker:
    """What a test sets and looks at.

    Attributes:
        calls: (operation, request) in order.
        outcomes: for each job created, how it ends: status and reason; Completed where there is no more.
        ended_as: secondary status of jobs that have ended; '' for the status itself.
        log: lines of each stream of the log.
        log_times: time of each stream's lines, in ms since 1970; now for the others.
        describes_until_end: answers that say InProgress (Creating, Updating) before the last one.
        refusals: for an operation, what it is refused with.
        update_ends: how an endpoint update ends: "InService", "RolledBack" or "Failed".
        create_ends: status that a new endpoint ends with.
        answer: body of an invocation's answer.
        tags: of each ARN.
        alarms: by name, with their ``StateValue``.
        scalable: what application autoscaling was asked for, by resource.
        prices: products of the price list, as JSON.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.outcomes: list[tuple[str, str]] = []
        self.ended_as = ""
        self.log: dict[str, list[str]] = {}
        self.log_times: dict[str, int] = {}
        self.describes_until_end = 2
        self.refusals: dict[str, RefusalError] = {}
        self.create_ends = self.update_ends = "InService"
        self.answer: Callable[[dict[str, Any]], Any] = lambda _: {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.models: dict[str, dict[str, Any]] = {}
        self.configs: dict[str, dict[str, Any]] = {}
        self.endpoints: dict[str, dict[str, Any]] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.alarms: dict[str, dict[str, Any]] = {}
        self.scalable: dict[str, dict[str, Any]] = {}
        self.prices: list[str] = []
        self._pending: dict[str, int] = {}
        self._changes = 0
        self._lock = threading.Lock()
        self._request = threading.local()

    def attach(self, aws: Aws) -> Aws:
        for service in SERVICES:
            events = aws.client(service).meta.events
            events.register_first(f"before-parameter-build.{service}", self._remember)
            events.register_first(f"before-call.{service}", self._respond)
        return aws

    def operations(self) -> list[str]:
        return [operation for operation, _ in self.calls]

    def _remember(self, params: dict[str, Any], **_: Any) -> None:
        self._request.params = params

    def _respond(self, model: Any, **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        request = self._request.params
        with self._lock:
            self.calls.append((model.name, request))
            try:
                if model.name in self.refusals:
                    raise self.refusals[model.name]
                answer = getattr(self, model.name)(**request)
            except RefusalError as refusal:
                error = {
                    "Error": {"Code": refusal.code, "Message": refusal.message},
                    "ResponseMetadata": {"HTTPStatusCode": 400},
                }
                return AWSResponse("", 400, {}, None), error
        if model.name != "InvokeEndpoint":
            validate_parameters(answer, model.output_shape) if model.output_shape else None
        return AWSResponse("", 200, {}, None), answer

    # training

    def CreateTrainingJob(self, **request: Any) -> dict[str, Any]:
        name = request["TrainingJobName"]
        if name in self.jobs:
            raise RefusalError("ResourceInUse", "Training job names must be unique within an AWS account and region")
        status, reason = self.outcomes.pop(0) if self.outcomes else ("Completed", "")
        self.jobs[name] = request | {"end": (status, reason)}
        self._pending[name] = self.describes_until_end
        return {"TrainingJobArn": self._tagged(f"{ACCOUNT}:training-job/{name}", request)}

    def _tagged(self, arn: str, request: dict[str, Any]) -> str:
        self.tags[arn] = {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}
        return arn

    def ListTags(self, ResourceArn: str) -> dict[str, Any]:
        return {"Tags": [{"Key": key, "Value": value} for key, value in self.tags[ResourceArn].items()]}

    def DeleteTags(self, ResourceArn: str, TagKeys: list[str]) -> dict[str, Any]:
        for key in TagKeys:
            self.tags[ResourceArn].pop(key, None)
        return {}

    def AddTags(self, ResourceArn: str, Tags: list[dict[str, str]]) -> dict[str, Any]:
        if ":training-job/" in ResourceArn and ResourceArn not in self.tags:
            raise RefusalError("ValidationException", "Requested resource not found.")
        self.tags.setdefault(ResourceArn, {}).update({tag["Key"]: tag["Value"] for tag in Tags})
        return {"Tags": Tags}

    def DescribeTrainingJob(self, TrainingJobName: str) -> dict[str, Any]:
        if TrainingJobName not in self.jobs:
            raise RefusalError("ValidationException", "Requested resource not found.")
        job = self.jobs[TrainingJobName]
        self._pending[TrainingJobName] -= 1
        ended = self._pending[TrainingJobName] < 0
        status, reason = job["end"]
        answer: dict[str, Any] = {
            "TrainingJobName": TrainingJobName,
            "TrainingJobArn": f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{TrainingJobName}",
            "TrainingJobStatus": status if ended else "InProgress",
            "SecondaryStatus": (self.ended_as or status) if ended else "Training",
            "ResourceConfig": job["ResourceConfig"],
            "AlgorithmSpecification": {"TrainingInputMode": "File"},
            "StoppingCondition": job["StoppingCondition"],
            "OutputDataConfig": job["OutputDataConfig"],
            "CreationTime": NOW,
            "ModelArtifacts": {
                "S3ModelArtifacts": job["OutputDataConfig"]["S3OutputPath"] + f"/{TrainingJobName}/output/model/"
            },
        }
        return answer | ({"FailureReason": reason} if ended and reason else {})

    def StopTrainingJob(self, TrainingJobName: str) -> dict[str, Any]:
        if TrainingJobName not in self.jobs:
            raise RefusalError("ValidationException", "Requested resource not found.")
        self.jobs[TrainingJobName]["end"] = ("Stopped", "")
        self._pending[TrainingJobName] = 0
        return {}

    def DescribeLogStreams(self, logStreamNamePrefix: str = "", **_: Any) -> dict[str, Any]:
        streams = [name for name in self.log if name.startswith(logStreamNamePrefix)]
        if not streams:
            raise RefusalError("ResourceNotFoundException", "The specified log group does not exist.")
        return {"logStreams": [{"logStreamName": name, "creationTime": self._log_time(name)} for name in streams]}

    def GetLogEvents(
        self,
        logStreamName: str,
        nextToken: str = "",
        startFromHead: bool = False,
        startTime: int = 0,
        limit: int = PAGE,
        **_: Any,
    ) -> dict[str, Any]:
        known = self.log[logStreamName] if self._log_time(logStreamName) >= startTime else []
        place = int(nextToken[2:]) if nextToken else (0 if startFromHead else len(known))
        start, end = (place, place + limit) if startFromHead else (max(0, place - limit), place)
        lines = known[start:end]
        return {
            "events": [{"message": f"{line}\n"} for line in lines],
            "nextForwardToken": f"f/{start + len(lines)}",
            "nextBackwardToken": f"b/{start}",
        }

    def _log_time(self, stream: str) -> int:
        """Time of a stream's lines, in ms since 1970."""
        return self.log_times.get(stream, int(time.time() * 1000))

    # hosting

    def CreateModel(self, **request: Any) -> dict[str, Any]:
        return self._create(self.models, "model", request["ModelName"], request, "ModelArn")

    def CreateEndpointConfig(self, **request: Any) -> dict[str, Any]:
        name = request["EndpointConfigName"]
        return self._create(self.configs, "endpoint-config", name, request, "EndpointConfigArn")

    def CreateEndpoint(self, **request: Any) -> dict[str, Any]:
        name = request["EndpointName"]
        state = {"config": request["EndpointConfigName"], "status": "Creating", "end": self.create_ends}
        state |= {"Tags": request.get("Tags", []), "modified": NOW}
        answer = self._create(self.endpoints, "endpoint", name, state, "EndpointArn")
        self._pending[name] = self.describes_until_end
        return answer

    def _create(
        self, things: dict[str, dict[str, Any]], kind: str, name: str, thing: dict[str, Any], key: str
    ) -> dict[str, Any]:
        if name in things:
            raise RefusalError("ValidationException", f"Cannot create already existing {kind} {name}")
        things[name] = thing
        return {key: self._tagged(f"{ACCOUNT}:{kind}/{name}", thing)}

    def ListEndpointConfigs(self, NameContains: str, **_: Any) -> dict[str, Any]:
        found = [name for name in reversed(self.configs) if NameContains in name]
        entries = [
            {"EndpointConfigName": name, "EndpointConfigArn": f"{ACCOUNT}:endpoint-config/{name}", "CreationTime": NOW}
            for name in found
        ]
        return {"EndpointConfigs": entries}

    def PutMetricAlarm(self, AlarmName: str, **request: Any) -> dict[str, Any]:
        state = self.alarms.get(AlarmName, {"StateValue": "OK"})
        self.alarms[AlarmName] = {"AlarmName": AlarmName, **request, **state}
        return {}

    def DescribeAlarms(self, AlarmNames: list[str]) -> dict[str, Any]:
        keys = ("AlarmName", "StateValue", "StateReason")
        found = [self.alarms[name] for name in AlarmNames if name in self.alarms]
        return {"MetricAlarms": [{key: alarm[key] for key in keys if key in alarm} for alarm in found]}

    def DeleteAlarms(self, AlarmNames: list[str]) -> dict[str, Any]:
        for name in AlarmNames:
            self.alarms.pop(name, None)
        return {}

    def DescribeScalableTargets(self, ResourceIds: list[str], **_: Any) -> dict[str, Any]:
        return {"ScalableTargets": [self.scalable[name]["target"] for name in ResourceIds if name in self.scalable]}

    def RegisterScalableTarget(self, **request: Any) -> dict[str, Any]:
        target = {**request, "RoleARN": ROLE, "CreationTime": NOW}
        self.scalable.setdefault(request["ResourceId"], {})["target"] = target
        return {}

    def DescribeScalingPolicies(self, ResourceId: str, **_: Any) -> dict[str, Any]:
        policy = self.scalable.get(ResourceId, {}).get("policy")
        policies = [{**policy, "PolicyARN": "arn", "CreationTime": NOW}] if policy else []
        return {"ScalingPolicies": policies}

    def PutScalingPolicy(self, **request: Any) -> dict[str, Any]:
        self.scalable[request["ResourceId"]]["policy"] = request
        return {"PolicyARN": "arn:aws:autoscaling:us-east-1:123456789012:scalingPolicy/x"}

    def DeregisterScalableTarget(self, ResourceId: str, **_: Any) -> dict[str, Any]:
        if ResourceId not in self.scalable:
            raise RefusalError("ObjectNotFoundException", "No scalable target found")
        del self.scalable[ResourceId]
        return {}

    def GetProducts(self, **_: Any) -> dict[str, Any]:
        return {"FormatVersion": "aws_v1", "PriceList": self.prices}

    def DescribeModel(self, ModelName: str) -> dict[str, Any]:
        if ModelName not in self.models:
            raise RefusalError("ValidationException", f'Could not find model "{ModelName}".')
        return {"ModelName": ModelName, "ModelArn": "arn:aws:sagemaker:eu:1:model/x", "CreationTime": NOW}

    def DescribeEndpointConfig(self, EndpointConfigName: str) -> dict[str, Any]:
        if EndpointConfigName not in self.configs:
            raise RefusalError("ValidationException", f'Could not find endpoint configuration "{EndpointConfigName}".')
        return {
            **{name: value for name, value in self.configs[EndpointConfigName].items() if name != "Tags"},
            "EndpointConfigArn": f"{ACCOUNT}:endpoint-config/{EndpointConfigName}",
            "CreationTime": NOW,
        }

    def DescribeEndpoint(self, EndpointName: str) -> dict[str, Any]:
        if EndpointName not in self.endpoints:
            raise RefusalError("ValidationException", f'Could not find endpoint "{EndpointName}".')
        state = self.endpoints[EndpointName]
        self._pending[EndpointName] -= 1
        if self._pending[EndpointName] < 0 and state["status"] == "Deleting":
            del self.endpoints[EndpointName]
        elif self._pending[EndpointName] < 0:
            if state["end"] == "RolledBack":
                state |= {"end": "InService", "reason": "Alarm fired"}
            elif pending := state.get("pending"):
                state |= {"previous": state["config"], "config": pending}
            if state["end"] == "Failed":
                state["reason"] = "The primary container did not pass the ping health check."
            state |= {"status": state["end"], "pending": ""}
        shown = {"PendingDeploymentSummary": {"EndpointConfigName": state["pending"]}} if state.get("pending") else {}
        reason = {"FailureReason": state["reason"]} if state.get("reason") else {}
        return (
            {
                "EndpointName": EndpointName,
                "EndpointArn": f"{ACCOUNT}:endpoint/{EndpointName}",
                "EndpointConfigName": state["config"],
                "EndpointStatus": state["status"],
                "CreationTime": NOW,
                "LastModifiedTime": state["modified"],
            }
            | reason
            | shown
        )

    def UpdateEndpoint(self, EndpointName: str, EndpointConfigName: str, **how: Any) -> dict[str, Any]:
        state = self._settled_endpoint(EndpointName)
        if state["status"] != "InService":
            raise RefusalError("ValidationException", "Cannot update in-progress endpoint")
        variants = [self._variant(config) for config in (state["config"], EndpointConfigName)]
        if variants[0] != variants[1] and f"endpoint/{EndpointName}/variant/{VARIANT}" in self.scalable:
            words = "The instance type cannot be updated because of the following scalable target registered"
            raise RefusalError("ValidationException", words)
        self._changes += 1
        state |= {"pending": EndpointConfigName, "status": "Updating", "how": how, "reason": ""}
        state["modified"] = NOW + timedelta(seconds=self._changes)
        state["end"], self.update_ends = self.update_ends, "InService"
        self._pending[EndpointName] = self.describes_until_end
        return {"EndpointArn": f"{ACCOUNT}:endpoint/{EndpointName}"}

    def _settled_endpoint(self, name: str) -> dict[str, Any]:
        state = self.endpoints[name]
        if state["status"] in ("Creating", "Updating", "Deleting"):
            raise RefusalError(
                "ValidationException", f'Cannot update in-progress endpoint "{ACCOUNT}:endpoint/{name}".'
            )
        return state

    def _variant(self, config: str) -> str:
        """Instance type of an endpoint config."""
        variants = self.configs.get(config, {}).get("ProductionVariants", [{}])
        return str(variants[0].get("InstanceType", ""))

    def delete_slowly(self, endpoint: str) -> None:
        self.endpoints[endpoint]["status"] = "Deleting"
        self._pending[endpoint] = self.describes_until_end

    def DeleteEndpoint(self, EndpointName: str) -> dict[str, Any]:
        if EndpointName in self.endpoints:
            self._settled_endpoint(EndpointName)
        return self._delete(self.endpoints, EndpointName)

    def DeleteEndpointConfig(self, EndpointConfigName: str) -> dict[str, Any]:
        return self._delete(self.configs, EndpointConfigName)

    def DeleteModel(self, ModelName: str) -> dict[str, Any]:
        return self._delete(self.models, ModelName)

    def _delete(self, things: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
        if things.pop(name, None) is None:
            raise RefusalError("ValidationException", f"Could not find {name}")
        return {}

    def InvokeEndpoint(self, Body: Any, **_: Any) -> dict[str, Any]:
        content = json.dumps(self.answer(json.loads(Body))).encode()
        return {"Body": StreamingBody(io.BytesIO(content), len(content))}
