"""The set-up stack is really made in an account, changed and deleted; what must not be lost stays."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError
from stacks import Clients, parameters

from components.cluster.trigger_resources import MAX_RECEIVES
from images.build import FOLDERS, image_name
from tests.cluster.setup.conftest import FULL, REQUIRED, TEMPLATE

CAPABILITIES = ["CAPABILITY_IAM"]


def create(account: Clients, given: Mapping[str, str], name: str = "ncf") -> dict[str, str]:
    """Make the stack: its outputs."""
    body = TEMPLATE.read_text()
    account("cloudformation").create_stack(
        StackName=name, TemplateBody=body, Parameters=parameters(given), Capabilities=CAPABILITIES
    )
    return outputs(account, name)


def outputs(account: Clients, name: str = "ncf") -> dict[str, str]:
    (stack,) = account("cloudformation").describe_stacks(StackName=name)["Stacks"]
    assert stack["StackStatus"].endswith("_COMPLETE")
    return {entry["OutputKey"]: entry["OutputValue"] for entry in stack["Outputs"]}


def attributes(account: Clients, queue: str) -> dict[str, str]:
    found: dict[str, str] = account("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    return found


def test_everything_is_made_and_named_in_outputs(account: Clients) -> None:
    made = create(account, FULL)
    bucket = made["BucketName"]
    assert [entry["Name"] for entry in account("s3").list_buckets()["Buckets"]] == [bucket]
    assert made["PipelineRoot"] == f"s3://{bucket}/kfp/runs"
    repositories = account("ecr").describe_repositories()["repositories"]
    assert {entry["repositoryName"] for entry in repositories} == {image_name(folder) for folder in FOLDERS}
    assert {entry["imageTagMutability"] for entry in repositories} == {"IMMUTABLE"}
    assert {entry["repositoryUri"].partition("/")[0] for entry in repositories} == {made["Registry"]}
    roles = {role["Arn"] for role in account("iam").list_roles()["Roles"]}
    of_stack = ("PodRole", "WatcherRole", "TrainingRole", "HostingRole", "UiRole", "CiRole")
    assert {made[f"{name}Arn"] for name in of_stack} == roles
    groups = account("logs").describe_log_groups()["logGroups"]
    assert {entry["logGroupName"]: entry["retentionInDays"] for entry in groups} == {
        "/aws/sagemaker/Endpoints/ncf-shop": 90,
        "/aws/sagemaker/TrainingJobs": 90,
        "/aws/sagemaker/ProcessingJobs": 90,
        "/aws/sagemaker/TransformJobs": 90,
    }
    (budget,) = account("budgets").describe_budgets(AccountId="123456789012")["Budgets"]
    assert budget["BudgetLimit"] == {"Amount": "500", "Unit": "USD"}


def test_the_bucket_is_encrypted_and_refuses_plain_http(account: Clients) -> None:
    bucket = create(account, REQUIRED)["BucketName"]
    rules = account("s3").get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    (statement,) = json.loads(account("s3").get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Resource"] == [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_a_key_encrypts_the_bucket(account: Clients) -> None:
    key = "arn:aws:kms:us-east-1:123456789012:key/1"
    bucket = create(account, {**REQUIRED, "KmsKeyArn": key})["BucketName"]
    rules = account("s3").get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}


def test_without_optional_parameters_only_the_queues_are_watched(account: Clients) -> None:
    made = create(account, REQUIRED)
    assert alarms(account) == {"watch-ncf-queue-age", "watch-ncf-dead-letters"}
    assert "CiRoleArn" not in made
    assert not account("sns").list_subscriptions()["Subscriptions"]
    assert not account("budgets").describe_budgets(AccountId="123456789012")["Budgets"]


def alarms(account: Clients) -> set[str]:
    return {entry["AlarmName"] for entry in account("cloudwatch").describe_alarms()["MetricAlarms"]}


def test_each_alarm_tells_the_topic_that_it_fires_and_that_it_is_over(account: Clients) -> None:
    topic = create(account, FULL)["TopicArn"]
    found = account("cloudwatch").describe_alarms()["MetricAlarms"]
    assert {entry["AlarmName"].removeprefix("watch-ncf-") for entry in found} == {
        *(f"endpoint-{what}" for what in ("errors", "rejections", "latency", "cpu", "memory", "traffic")),
        "queue-age",
        "dead-letters",
    }
    for alarm in found:
        assert alarm["AlarmActions"] == alarm["OKActions"] == [topic]


@pytest.mark.parametrize("name", ["queue-age", "dead-letters"])
def test_alarms_of_queues_name_queues_that_exist(account: Clients, name: str) -> None:
    made = create(account, REQUIRED)
    (alarm,) = account("cloudwatch").describe_alarms(AlarmNames=[f"watch-ncf-{name}"])["MetricAlarms"]
    queue = made["QueueUrl" if name == "queue-age" else "DeadLetterQueueUrl"]
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": queue.rpartition("/")[2]}]


def test_rules_may_send_to_the_queue_and_what_nobody_handles_ends_in_the_other_one(account: Clients) -> None:
    made = create(account, REQUIRED)
    found = attributes(account, made["QueueUrl"])
    dead = attributes(account, made["DeadLetterQueueUrl"])
    redrive = json.loads(found["RedrivePolicy"])
    assert redrive == {"deadLetterTargetArn": dead["QueueArn"], "maxReceiveCount": MAX_RECEIVES}
    assert found["FifoQueue"] == dead["FifoQueue"] == "true"  # both have to be
    allow, deny = json.loads(found["Policy"])["Statement"]
    assert allow["Principal"] == {"Service": "events.amazonaws.com"}
    assert allow["Action"] == "sqs:SendMessage"
    assert allow["Resource"] == made["QueueArn"]
    assert allow["Condition"] == {"ArnLike": {"aws:SourceArn": "arn:aws:events:us-east-1:123456789012:rule/*"}}
    assert deny["Effect"] == "Deny"


def test_messages_of_a_rule_keep_their_order_and_come_once(account: Clients) -> None:
    made, sqs = create(account, REQUIRED), account("sqs")
    for text in ("a", "a", "b"):
        sqs.send_message(QueueUrl=made["QueueUrl"], MessageBody=text, MessageGroupId="rule")
    received = sqs.receive_message(QueueUrl=made["QueueUrl"], MaxNumberOfMessages=10)["Messages"]
    assert [message["Body"] for message in received] == ["a", "b"]


def test_failed_jobs_of_the_team_are_told_to_the_topic(account: Clients) -> None:
    made, events = create(account, REQUIRED), account("events")
    (rule,) = events.list_rules()["Rules"]
    pattern = json.loads(rule["EventPattern"])
    assert pattern["detail"] == {"TrainingJobStatus": ["Failed"], "TrainingJobName": [{"prefix": "ncf-train-"}]}
    (target,) = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    assert target["Arn"] == made["TopicArn"]


def test_pods_may_tell_the_topic_of_their_end(account: Clients) -> None:
    made = create(account, REQUIRED)
    role = made["PodRoleArn"].rpartition("/")[2]
    document = account("iam").get_role_policy(RoleName=role, PolicyName="ncf")["PolicyDocument"]
    policy = ast.literal_eval(document)  # moto returns the text of a Python object
    allowed = [entry["Resource"] for entry in policy["Statement"] if entry["Action"] == ["sns:Publish"]]
    assert allowed == [[made["TopicArn"]]]
    objects = [entry for entry in policy["Statement"] if "s3:PutObject" in entry["Action"]]
    assert objects[0]["Resource"] == [f"arn:aws:s3:::{made['BucketName']}/kfp/*"]


def test_the_dashboard_shows_what_exists(account: Clients) -> None:
    made = create(account, FULL)
    body = json.loads(account("cloudwatch").get_dashboard(DashboardName=made["DashboardName"])["DashboardBody"])
    text = json.dumps(body)
    assert "${" not in text
    assert f'"{made["QueueUrl"].rpartition("/")[2]}"' in text
    assert '"ncf-shop"' in text
    assert '"EstimatedCharges"' in text
    assert all(widget["properties"]["region"] == "us-east-1" for widget in body["widgets"])


def test_a_dashboard_without_an_endpoint_has_no_empty_dimension(account: Clients) -> None:
    made = create(account, REQUIRED)
    body = account("cloudwatch").get_dashboard(DashboardName=made["DashboardName"])["DashboardBody"]
    assert '""' not in body


def test_an_update_changes_limits_in_place(account: Clients) -> None:
    before = create(account, FULL)
    account("cloudformation").update_stack(
        StackName="ncf",
        TemplateBody=TEMPLATE.read_text(),
        Parameters=parameters({**FULL, "MaxLatency": "50"}),
        Capabilities=CAPABILITIES,
    )
    assert outputs(account) == before
    (alarm,) = account("cloudwatch").describe_alarms(AlarmNames=["watch-ncf-endpoint-latency"])["MetricAlarms"]
    assert alarm["Threshold"] == 50


def test_runs_images_and_logs_outlive_the_stack(account: Clients) -> None:
    bucket = create(account, FULL)["BucketName"]
    account("cloudformation").delete_stack(StackName="ncf")
    assert [entry["Name"] for entry in account("s3").list_buckets()["Buckets"]] == [bucket]
    assert len(account("ecr").describe_repositories()["repositories"]) == len(FOLDERS)
    assert len(account("logs").describe_log_groups()["logGroups"]) == 4
    assert not alarms(account)
    assert not account("iam").list_roles()["Roles"]
    assert not account("sqs").list_queues().get("QueueUrls")


def test_a_second_stack_leaves_out_what_the_account_has(account: Clients) -> None:
    create(account, FULL)
    with pytest.raises(ClientError, match="already exists"):
        create(account, {**FULL, "Namespace": "other"}, "other")
    made: dict[str, Any] = create(account, {**FULL, "Namespace": "other", "MakesShared": "false"}, "third")
    assert made["BucketName"] != outputs(account)["BucketName"]
