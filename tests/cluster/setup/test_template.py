"""The set-up stack's template: within CloudFormation's limits, with the roles of permissions.yaml, and safe by itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from iam import ACCOUNT, STACK, Policy

from components.cluster import permissions
from components.cluster.setup import alarms, ci, code_pipeline, storage, ui
from components.cluster.setup.template import template
from images.build import FOLDERS
from ncf.aws.permissions import OBJECTS
from tests.cluster.setup.conftest import TEMPLATE

ROOT = TEMPLATE.parents[2]

# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
MAX_BYTES_IN_S3, MAX_BYTES = 1_000_000, 51_200
MAX_PARAMETERS, MAX_RESOURCES, MAX_OUTPUTS, MAX_NAME, MAX_DESCRIPTION = 200, 500, 200, 255, 1024
MAX_PARAMETER_BYTES = 4096


def texts(value: Any) -> Iterator[str]:
    """All texts in a template."""
    if isinstance(value, str):
        yield value
    for entry in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(entry)


def test_the_template_is_within_the_limits_of_cloudformation() -> None:
    made = template()
    assert len(TEMPLATE.read_bytes()) < MAX_BYTES_IN_S3
    assert len(made["Description"].encode()) <= MAX_DESCRIPTION
    for section, most in (("Parameters", MAX_PARAMETERS), ("Resources", MAX_RESOURCES), ("Outputs", MAX_OUTPUTS)):
        assert len(made[section]) <= most
        for name, entry in made[section].items():
            assert re.fullmatch(rf"[A-Za-z0-9]{{1,{MAX_NAME}}}", name)
            assert len(entry.get("Description", "")) <= MAX_DESCRIPTION
    for entry in made["Parameters"].values():
        assert len(str(entry.get("Default", ""))) <= MAX_PARAMETER_BYTES


def test_the_template_of_the_roles_needs_no_bucket() -> None:
    """It is deployed by itself, for a further namespace."""
    assert len((TEMPLATE.parent / permissions.FILE_NAME).read_bytes()) <= MAX_BYTES


def test_the_templates_are_valid() -> None:
    program = "from cfnlint.runner import main; raise SystemExit(main())"
    ran = subprocess.run(
        [sys.executable, "-c", program, "-t", str(TEMPLATE), "-i", "I"], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout


def test_what_is_referred_to_is_there() -> None:
    made = template()
    known = {*made["Parameters"], *made["Resources"]}
    refs = {name for text in texts(made) for name in re.findall(r"\$\{([A-Za-z0-9]+)[.}]", text)}
    assert refs <= known | {"Watched"}, "Watched is a name within the dashboard's Fn::Sub"
    conditions = set(re.findall(r'"Condition": "(\w+)"', json.dumps(made)))
    assert conditions <= made["Conditions"].keys()


IN_PLACE = {
    "NotifyTopicArn": "Topic",
    "TriggerQueueArn": "TriggerQueue.Arn",
    "TriggerDeadLetterQueueArn": "TriggerDeadLetterQueue.Arn",
}
"""Parameter of the roles' template -> what the set-up stack has in its place."""


def test_the_roles_are_those_of_permissions() -> None:
    """With the bucket, the topic and the queues of this stack in place of parameters."""
    own, other = template(), permissions.template()
    for name, resource in other["Resources"].items():
        assert own["Resources"][name] == with_own(resource), name
    assert own["Parameters"].items() >= {name: other["Parameters"][name] for name in ("Prefix", "Namespace")}.items()
    assert not {"Bucket", *IN_PLACE} & own["Parameters"].keys()
    assert not {f"Has{parameter}" for parameter in IN_PLACE} & own["Conditions"].keys()


def with_own(value: Any) -> Any:
    """A part of the roles' template with the topic and the queues of this stack."""
    conditions = [f"Has{parameter}" for parameter in IN_PLACE]
    if isinstance(value, list):
        return [with_own(entry) for entry in value]
    if isinstance(value, dict):
        if value.get("Fn::If", [""])[0] in conditions:
            return with_own(value["Fn::If"][1])
        return {key: with_own(of) for key, of in value.items() if not (key == "Condition" and of in conditions)}
    for parameter, resource in IN_PLACE.items():
        value = value.replace(f"${{{parameter}}}", f"${{{resource}}}") if isinstance(value, str) else value
    return value


def test_what_must_not_be_lost_is_retained() -> None:
    kept = ("AWS::S3::Bucket", "AWS::ECR::Repository", "AWS::Logs::LogGroup")
    for name, entry in template()["Resources"].items():
        is_kept = entry.get("DeletionPolicy") == entry.get("UpdateReplacePolicy") == "Retain"
        assert is_kept == (entry["Type"] in kept), name


def test_no_rule_of_the_bucket_deletes_a_run() -> None:
    """An endpoint loads its model again from its run when an instance is replaced."""
    rules = template()["Resources"]["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    expiring = {rule["Id"]: rule["Prefix"]["Fn::Sub"] for rule in rules if "ExpirationInDays" in rule}
    assert expiring == {"checkpoints": "${Prefix}checkpoints/", "captures": "${Prefix}captures/"}
    root = template()["Outputs"]["PipelineRoot"]["Value"]["Fn::Sub"]
    assert not any(root.endswith(prefix) for prefix in expiring.values())
    (old,) = [rule for rule in rules if rule["Id"] == "old-runs"]
    assert old["Transitions"][0]["StorageClass"] == "INTELLIGENT_TIERING"  # no class that delays reading


def test_the_bucket_is_private_versioned_and_tells_eventbridge() -> None:
    properties = template()["Resources"]["Bucket"]["Properties"]
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    assert properties["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}


def test_each_image_has_a_repository_that_is_scanned() -> None:
    found = [entry for entry in template()["Resources"].values() if entry["Type"] == "AWS::ECR::Repository"]
    assert len(found) == len(FOLDERS)
    for entry in found:
        assert entry["Properties"]["ImageScanningConfiguration"] == {"ScanOnPush": True}
        rules = json.loads(entry["Properties"]["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
        assert [rule["rulePriority"] for rule in rules] == [1, 2]
        assert rules[-1]["selection"]["tagStatus"] == "any"  # has to be the last


def test_ci_pushes_images_and_does_nothing_of_sagemaker() -> None:
    actions = ci.actions()
    assert "ecr:PutImage" in actions
    assert {action.partition(":")[0] for action in actions} == {"ecr", "kms", "s3"}
    assert {action for action in actions if action.startswith("s3:")} == {"s3:GetObject", "s3:ListBucket"}
    assert not [action for action in actions if "*" in action]
    for entry in ci.statements():
        assert entry.get("Resource") != ["*"] or set(entry["Action"]) <= ci.UNSCOPED.keys()


@pytest.mark.parametrize(
    ("action", "resource", "is_allowed"),
    [
        ("ecr:PutImage", "arn:aws:ecr:us-east-1:123456789012:repository/ncf-train", True),
        ("ecr:PutImage", "arn:aws:ecr:us-east-1:123456789012:repository/team/ncf-train", True),
        ("ecr:PutImage", "arn:aws:ecr:us-east-1:123456789012:repository/other", False),
        ("ecr:GetAuthorizationToken", "*", True),
        ("s3:GetObject", "arn:aws:s3:::runs/kfp/team-a/runs/ncf/1/evaluate/2/metrics", True),
        ("s3:GetObject", "arn:aws:s3:::runs/kfp/team-a/runs/ncf/1/evaluate/metrics", True),
        ("s3:GetObject", "arn:aws:s3:::runs/kfp/team-a/runs/ncf/1/train/2/trained_model/config.json", False),
        ("s3:GetObject", "arn:aws:s3:::runs/kfp/team-b/runs/ncf/1/evaluate/2/metrics", False),
        ("sagemaker:CreateTrainingJob", "*", False),
    ],
)
def test_ci_reaches_images_and_metrics_alone(action: str, resource: str, is_allowed: bool) -> None:
    document = template()["Resources"]["CiRole"]["Properties"]["Policies"][0]["PolicyDocument"]
    assert Policy(document, {**ACCOUNT, **STACK}).allows(action, resource) == is_allowed


def test_the_ui_only_reads() -> None:
    role = template()["Resources"]["UiRole"]["Properties"]
    (statement,) = json.loads(role["AssumeRolePolicyDocument"]["Fn::Sub"])["Statement"]
    subject = statement["Condition"]["StringEquals"]["${OidcProvider}:sub"]
    assert subject == "system:serviceaccount:${UiServiceAccount}"
    allowed = re.findall(r'"(\w+:\w+)"', json.dumps([entry.get("Action") for entry in ui.reading(OBJECTS)]))
    assert allowed == ["s3:GetObject", "s3:ListBucket"]


def test_the_template_of_code_pipeline_needs_no_bucket_and_no_more_than_ci() -> None:
    path = TEMPLATE.parent / code_pipeline.FILE_NAME
    assert len(path.read_bytes()) <= MAX_BYTES
    assert not re.search(r'"sagemaker:|"iam:', json.dumps(code_pipeline.template()))
    statements = code_pipeline.template()["Resources"]["BuildRole"]["Properties"]["Policies"][0]["PolicyDocument"]
    assert statements["Statement"][: len(ci.statements())] == ci.statements()


def test_both_ci_run_the_same_steps() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
    steps = [step.get("run", "") for step in workflow["jobs"]["release"]["steps"]]
    assert [step for step in steps if ".ci/" in step] == code_pipeline.buildspec()["phases"]["build"]["commands"]


def test_only_one_repository_and_one_environment_may_be_ci() -> None:
    (statement,) = template()["Resources"]["CiRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    claims = statement["Condition"]["StringEquals"]
    assert claims[f"{ci.GITHUB}:sub"] == {"Fn::Sub": "repo:${GitHubRepository}:${GitHubSubject}"}
    assert claims[f"{ci.GITHUB}:aud"] == "sts.amazonaws.com"
    parameter = template()["Parameters"]["GitHubSubject"]
    for subject in ("environment:production", "ref:refs/heads/main"):
        assert re.fullmatch(parameter["AllowedPattern"], subject)
    for subject in ("*", "ref:refs/heads/*", "pull_request", "environment:"):
        assert not re.fullmatch(parameter["AllowedPattern"], subject)


def test_alarms_are_out_of_the_reach_of_pods() -> None:
    """Pods may delete alarms whose names begin with EndpointPrefix."""
    for entry in template()["Resources"].values():
        if entry["Type"] == "AWS::CloudWatch::Alarm":
            assert entry["Properties"]["AlarmName"]["Fn::Sub"].startswith("watch-${AWS::StackName}-")


def test_the_folders_of_lifecycle_rules_are_named_in_outputs() -> None:
    values = [entry["Value"] for entry in template()["Outputs"].values()]
    for folder in (storage.CHECKPOINTS, storage.CAPTURES):
        assert {"Fn::Sub": f"s3://${{Bucket}}/${{Prefix}}{folder}"} in values


def test_the_page_has_the_figures_of_the_template() -> None:
    page = " ".join((TEMPLATE.parent / "setup" / "README.md").read_text().split())
    assert f"`checkpoints` of `Prefix` expire after {storage._CHECKPOINT_DAYS} days" in page
    assert f"can be restored for {storage._OLD_VERSION_DAYS} days" in page
    assert f"The newest {storage._IMAGES_KEPT} images are kept" in page
    assert f"at {alarms._BUDGET_PERCENT['ACTUAL']} % of it" in page
    assert len(TEMPLATE.read_bytes()) > MAX_BYTES, "the page says that the template needs a bucket"
    for entry in template()["Outputs"]:
        assert entry in page or entry in (TEMPLATE.parent / "README.md").read_text(), entry
