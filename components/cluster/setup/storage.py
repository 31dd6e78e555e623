"""Storage of the set-up stack: the bucket, the repositories of images, and the groups of logs."""

from __future__ import annotations

import json
from typing import Any

from components.cluster.cloudformation import document, substituted
from images.build import FOLDERS, image_name
from ncf.aws.logs import ENDPOINT_GROUP
from ncf.sagemaker.processing.kind import PROCESSING
from ncf.sagemaker.training.kind import TRAINING
from ncf.sagemaker.transform.kind import TRANSFORM

BUCKET = "Bucket"
"""Logical ID of the bucket, and the parameter of the roles' template in whose place it stands."""
CHECKPOINTS, CAPTURES = "checkpoints", "captures"
"""Folders of Prefix whose objects expire."""
_CHECKPOINT_DAYS, _OLD_VERSION_DAYS, _UPLOAD_DAYS, _UNTAGGED_DAYS = 14, 30, 7, 14
_TIERING_DAYS = 30
_IMAGES_KEPT = 200
_RETAINED = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}


def resources() -> dict[str, Any]:
    """Bucket with its policy, a repository for each image, and log groups with a retention."""
    return {
        BUCKET: private_bucket(
            _lifecycle(), NotificationConfiguration={"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
        ),
        "BucketPolicy": tls_only(BUCKET),
        **{_logical_id(folder): _repository(image_name(folder)) for folder in FOLDERS},
        "TrainingLogs": _log_group(TRAINING.log_group, "HasMakesShared"),
        "ProcessingLogs": _log_group(PROCESSING.log_group, "HasMakesShared"),
        "TransformLogs": _log_group(TRANSFORM.log_group, "HasMakesShared"),
        "EndpointLogs": _log_group(f"{ENDPOINT_GROUP}/${{EndpointName}}", "MakesEndpointLogs"),
    }


def conditions() -> dict[str, Any]:
    """Conditions of these resources."""
    both = [{"Condition": "HasMakesShared"}, {"Condition": "HasEndpointName"}]
    return {"MakesEndpointLogs": {"Fn::And": both}}


def private_bucket(rules: list[dict[str, Any]], **properties: Any) -> dict[str, Any]:
    """A bucket that is encrypted, by the key of the parameter KmsKeyArn if given, private, and outlives its stack.

    Args:
        rules: of its lifecycle.
        properties: further ones.
    """
    key = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"Ref": "KmsKeyArn"}}
    default = {"Fn::If": ["HasKmsKeyArn", key, {"SSEAlgorithm": "AES256"}]}
    return {
        "Type": "AWS::S3::Bucket",
        **_RETAINED,
        "Properties": {
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [
                    {"ServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}
                ]
            },
            "VersioningConfiguration": {"Status": "Enabled"},
            "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": True,
                "BlockPublicPolicy": True,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            },
            "LifecycleConfiguration": {"Rules": rules},
            **properties,
        },
    }


def tls_only(bucket: str) -> dict[str, Any]:
    """The policy of a bucket, by its logical ID: no requests without TLS."""
    statement = {
        "Sid": "OnlyTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [{"Fn::GetAtt": [bucket, "Arn"]}, substituted(f"${{{bucket}.Arn}}/*")],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    properties = {"Bucket": {"Ref": bucket}, "PolicyDocument": document([statement])}
    return {"Type": "AWS::S3::BucketPolicy", "Properties": properties}


def _lifecycle() -> list[dict[str, Any]]:
    """Rules that delete nothing which an endpoint or a registered package may need: old runs only get cheaper."""
    return [
        rule("checkpoints", Prefix=_folder(CHECKPOINTS), ExpirationInDays=_CHECKPOINT_DAYS),
        rule("captures", Prefix=_folder(CAPTURES), ExpirationInDays={"Ref": "CaptureDays"}),
        rule("old-runs", Transitions=[{"StorageClass": "INTELLIGENT_TIERING", "TransitionInDays": _TIERING_DAYS}]),
        rule(
            "leftovers",
            NoncurrentVersionExpiration={"NoncurrentDays": _OLD_VERSION_DAYS},
            AbortIncompleteMultipartUpload={"DaysAfterInitiation": _UPLOAD_DAYS},
        ),
        rule("markers", ExpiredObjectDeleteMarker=True),
    ]


def rule(identifier: str, **properties: Any) -> dict[str, Any]:
    """A rule of a bucket's lifecycle."""
    return {"Id": identifier, "Status": "Enabled", **properties}


def _folder(name: str) -> Any:
    return substituted(f"${{Prefix}}{name}/")


def _logical_id(folder: str) -> str:
    return "".join(word.capitalize() for word in folder.split("_")) + "Images"


def _repository(name: str) -> dict[str, Any]:
    return {
        "Type": "AWS::ECR::Repository",
        "Condition": "HasMakesShared",
        **_RETAINED,
        "Properties": {
            "RepositoryName": name,
            "ImageTagMutability": "IMMUTABLE",
            "ImageScanningConfiguration": {"ScanOnPush": True},
            "LifecyclePolicy": {"LifecyclePolicyText": json.dumps({"rules": _expiry_of_images()})},
        },
    }


def _expiry_of_images() -> list[dict[str, Any]]:
    """Rules of ECR. An endpoint pulls its image again when an instance is replaced, so tagged images stay long."""
    untagged = {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days"}
    newest = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": _IMAGES_KEPT}
    expire = {"type": "expire"}
    return [
        {"rulePriority": 1, "selection": {**untagged, "countNumber": _UNTAGGED_DAYS}, "action": expire},
        {"rulePriority": 2, "selection": newest, "action": expire},
    ]


def _log_group(name: str, condition: str) -> dict[str, Any]:
    return {
        "Type": "AWS::Logs::LogGroup",
        "Condition": condition,
        **_RETAINED,
        "Properties": {"LogGroupName": substituted(name), "RetentionInDays": {"Ref": "LogDays"}},
    }
