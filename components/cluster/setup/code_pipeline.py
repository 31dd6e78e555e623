"""CI/CD by CodePipeline and CodeBuild, as a CloudFormation template: the steps of ``.ci/release``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from components.cluster import cloudformation
from components.cluster.cloudformation import document, is_given, only_if, role, substituted
from components.cluster.setup import ci, storage

FILE_NAME = "code-pipeline.yaml"
_IMAGE, _SIZE, _MINUTES = "aws/codebuild/standard:7.0", "BUILD_GENERAL1_LARGE", 480
_PYTHON = "3.11"
_ARTIFACTS, _ARTIFACT_DAYS = "Artifacts", 30
"""Logical ID of the bucket of artifacts. CodePipeline writes to the root of a bucket, so that it has one of its own."""
_SOURCE, _OUTPUT = "Source", "Metrics"
_LOGS = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:/aws/codebuild/${AWS::StackName}*"
_PARAMETERS: dict[str, dict[str, str]] = {
    "Bucket": {"Description": "Output BucketName of the set-up stack"},
    "Prefix": {"Description": "Prefix of the set-up stack", "AllowedPattern": "[^/].*/"},
    "Registry": {"Description": "Output Registry of the set-up stack"},
    "ConnectionArn": {"Description": "Connection of CodePipeline to the repository's host"},
    "Repository": {"Description": "Repository, as OWNER/NAME"},
    "Branch": {"Description": "Branch whose pushes count", "Default": "main"},
    "File": {"Description": "File of the run; a push of a change to it is a run", "Default": "runs/production.yaml"},
    "KfpHost": {"Description": "URL of the KFP API"},
    "KfpTokenSecret": {
        "Description": "ARN of a secret of Secrets Manager, a token of KFP; none if none",
        "Default": "",
    },
    "KfpNamespace": {"Description": "Namespace of a multi-user KFP; none if none", "Default": ""},
    "KmsKeyArn": {"Description": "KMS key of the buckets; none if there is none", "Default": ""},
}
_MAY_BE_NONE = ("KfpTokenSecret", "KmsKeyArn")


def template() -> dict[str, Any]:
    """The template: a pipeline with a source and a build, a role for each, and a bucket for what they exchange."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "CI/CD of NCF by CodePipeline and CodeBuild",
        "Parameters": {name: {"Type": "String", **entry} for name, entry in _PARAMETERS.items()},
        "Conditions": {f"Has{name}": is_given(name) for name in _MAY_BE_NONE},
        "Resources": {
            _ARTIFACTS: storage.private_bucket(_expiry()),
            "ArtifactsPolicy": storage.tls_only(_ARTIFACTS),
            "BuildRole": role("Builds of images, and runs", _trust("codebuild"), _of_build()),
            "Build": _build(),
            "PipelineRole": role("The pipeline of CI", _trust("codepipeline"), _of_pipeline()),
            "Pipeline": _pipeline(),
        },
        "Outputs": {"PipelineName": {"Description": "Name of the pipeline of CI", "Value": {"Ref": "Pipeline"}}},
    }


def write(folder: Path) -> Path:
    """Write the template."""
    head = "# Made by `make pipeline`. Deploy it with CAPABILITY_IAM.\n"
    return cloudformation.write(folder / FILE_NAME, head, template())


def buildspec() -> dict[str, Any]:
    """What CodeBuild runs."""
    steps = ["images", "pipeline", 'run "$FILE"']
    return {
        "version": 0.2,
        "phases": {
            "install": {"runtime-versions": {"python": _PYTHON}},
            "build": {"commands": [f".ci/release {step}" for step in steps]},
        },
        "artifacts": {"files": ["build/metrics.md"]},
    }


def _expiry() -> list[dict[str, Any]]:
    old_versions = {"NoncurrentDays": 1}
    return [
        storage.rule("artifacts", ExpirationInDays=_ARTIFACT_DAYS, NoncurrentVersionExpiration=old_versions),
    ]


def _build() -> dict[str, Any]:
    variables = [
        _variable("REGISTRY", {"Ref": "Registry"}),
        _variable("FILE", {"Ref": "File"}),
        _variable("KF_PIPELINES_ENDPOINT", {"Ref": "KfpHost"}),
        _variable("NAMESPACE", {"Ref": "KfpNamespace"}),
        only_if("HasKfpTokenSecret", _variable("NCF_KFP_TOKEN", {"Ref": "KfpTokenSecret"}, "SECRETS_MANAGER")),
    ]
    return {
        "Type": "AWS::CodeBuild::Project",
        "Properties": {
            "Name": {"Ref": "AWS::StackName"},
            "ServiceRole": {"Fn::GetAtt": ["BuildRole", "Arn"]},
            "Source": {"Type": "CODEPIPELINE", "BuildSpec": yaml.safe_dump(buildspec(), sort_keys=False)},
            "Artifacts": {"Type": "CODEPIPELINE"},
            "TimeoutInMinutes": _MINUTES,
            "Environment": {
                "Type": "LINUX_CONTAINER",
                "Image": _IMAGE,
                "ComputeType": _SIZE,
                "PrivilegedMode": True,  # Docker
                "EnvironmentVariables": variables,
            },
        },
    }


def _variable(name: str, value: Any, kind: str = "PLAINTEXT") -> dict[str, Any]:
    return {"Name": name, "Value": value, "Type": kind}


def _pipeline() -> dict[str, Any]:
    store = {"Type": "S3", "Location": {"Ref": _ARTIFACTS}}
    changed = {"Branches": {"Includes": [{"Ref": "Branch"}]}, "FilePaths": {"Includes": [{"Ref": "File"}]}}
    return {
        "Type": "AWS::CodePipeline::Pipeline",
        "Properties": {
            "Name": {"Ref": "AWS::StackName"},
            "PipelineType": "V2",
            "ExecutionMode": "QUEUED",
            "RoleArn": {"Fn::GetAtt": ["PipelineRole", "Arn"]},
            "ArtifactStore": store,
            "Stages": [
                {"Name": _SOURCE, "Actions": [_source()]},
                {"Name": "Release", "Actions": [_release()]},
            ],
            "Triggers": [
                {
                    "ProviderType": "CodeStarSourceConnection",
                    "GitConfiguration": {"SourceActionName": _SOURCE, "Push": [changed]},
                }
            ],
        },
    }


def _source() -> dict[str, Any]:
    """The repository with its history: the commit is the tag of the images, and part of the name of the run."""
    return {
        "Name": _SOURCE,
        "ActionTypeId": {"Category": "Source", "Owner": "AWS", "Provider": "CodeStarSourceConnection", "Version": "1"},
        "Configuration": {
            "ConnectionArn": {"Ref": "ConnectionArn"},
            "FullRepositoryId": {"Ref": "Repository"},
            "BranchName": {"Ref": "Branch"},
            "OutputArtifactFormat": "CODEBUILD_CLONE_REF",
            "DetectChanges": "false",  # the trigger does, for one file
        },
        "OutputArtifacts": [{"Name": _SOURCE}],
    }


def _release() -> dict[str, Any]:
    return {
        "Name": "Release",
        "ActionTypeId": {"Category": "Build", "Owner": "AWS", "Provider": "CodeBuild", "Version": "1"},
        "Configuration": {"ProjectName": {"Ref": "Build"}},
        "InputArtifacts": [{"Name": _SOURCE}],
        "OutputArtifacts": [{"Name": _OUTPUT}],
    }


def _of_build() -> list[dict[str, Any]]:
    """What a workflow of GitHub may do; logs, artifacts and the source beside it."""
    return [
        *ci.statements(),
        _allow(["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"], _LOGS),
        *_of_both(),
        only_if("HasKfpTokenSecret", _allow(["secretsmanager:GetSecretValue"], "${KfpTokenSecret}")),
    ]


def _of_pipeline() -> list[dict[str, Any]]:
    return [
        _allow(["codebuild:BatchGetBuilds", "codebuild:StartBuild"], "${Build.Arn}"),
        *_of_both(),
    ]


def _of_both() -> list[dict[str, Any]]:
    """Artifacts of the pipeline, and the connection."""
    use = ["codeconnections:UseConnection", "codestar-connections:UseConnection"]  # the name before 2024, still in ARNs
    key = ["kms:Decrypt", "kms:GenerateDataKey"]
    return [
        _allow(["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"], f"${{{_ARTIFACTS}.Arn}}/*"),
        _allow(["s3:GetBucketVersioning"], f"${{{_ARTIFACTS}.Arn}}"),
        _allow(use, "${ConnectionArn}"),
        only_if("HasKmsKeyArn", _allow(key, "${KmsKeyArn}")),
    ]


def _allow(actions: list[str], resource: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": [substituted(resource)]}


def _trust(service: str) -> dict[str, Any]:
    principal = {"Service": f"{service}.amazonaws.com"}
    of_account = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    return document([{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", "Condition": of_account}])
