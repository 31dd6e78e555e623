"""Parameters of the CloudFormation template of the roles."""

from __future__ import annotations

from collections.abc import Mapping

PARAMETERS: Mapping[str, Mapping[str, str]] = {
    "Bucket": {"Description": "Bucket of the pipeline root, of checkpoints and copies"},
    "Prefix": {
        "Description": "What keys in it begin with: the folder of this namespace, with a slash at its end",
        "AllowedPattern": "[^/].*/",
        "ConstraintDescription": "a folder with a slash at its end, such as kfp/my-profile/",
    },
    "DataBucket": {"Description": "Bucket of the raw data, to read; none if they are under Prefix", "Default": ""},
    "DataPrefix": {"Description": "What keys of the raw data begin with; none for all in DataBucket", "Default": ""},
    "JobPrefix": {
        "Description": "What names of jobs begin with: the parameter job_prefix, ncf-train by default",
        "AllowedPattern": "[a-z0-9]+(-[a-z0-9]+)*",
    },
    "EndpointPrefix": {
        "Description": "What names of endpoints begin with; those that are named after a run begin with ncf",
        "AllowedPattern": "[a-z0-9]+(-[a-z0-9]+)*-?",
    },
    "RegistryPrefix": {
        "Description": "What names of model package groups begin with: the parameter registry_group, ncf by default",
        "AllowedPattern": "[a-z0-9]+(-[a-z0-9]+)*-?",
    },
    "ReleaseAtOnce": {
        "Description": "Whether pods may register a model as Approved, as release=at_once does: true or false",
        "Default": "true",
        "AllowedPattern": "true|false",
    },
    "OidcProvider": {"Description": "OIDC issuer of the EKS cluster, as oidc.eks.REGION.amazonaws.com/id/ID"},
    "Namespace": {"Description": "Namespace of the profile whose pods run the pipeline"},
    "ServiceAccount": {"Description": "Service account of these pods", "Default": "default-editor"},
    "NotifyTopicArn": {"Description": "SNS topic that runs tell of their end; none if there is none", "Default": ""},
    "TriggerQueueArn": {"Description": "SQS queue of triggers; none if there is none", "Default": ""},
    "TriggerDeadLetterQueueArn": {"Description": "Dead-letter queue of triggers; none if there is none", "Default": ""},
    "AssumedRoleArn": {"Description": "Role that 'assume_role' names; none if there is none", "Default": ""},
    "KmsKeyArn": {"Description": "KMS key of storage, models or the bucket; none if there is none", "Default": ""},
    "OwnImages": {
        "Description": "What names of your own images for jobs begin with, such as team-a/; none if there are none",
        "Default": "",
        "AllowedPattern": "([a-z0-9]+[a-z0-9._/-]*)?",
    },
    "InVpc": {"Description": "Whether jobs and endpoints run in a VPC: true or false", "Default": "false"},
}

MAY_BE_NONE = (
    "DataBucket",
    "NotifyTopicArn",
    "TriggerQueueArn",
    "TriggerDeadLetterQueueArn",
    "AssumedRoleArn",
    "KmsKeyArn",
    "OwnImages",
)
"""Parameters whose value may be empty."""
