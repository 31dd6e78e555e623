"""Checks before submission: inputs and pipeline root of a run must be in S3."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from ncf.errors import InputError
from ncf.storage import is_s3, split_uri

_LOCATIONS = ("data_uri", "data_items_uri", "data_forgotten_uri", "model_uri", "users_uri", "checkpoints")
"""Parameters with a location that pods read or write; each may be empty."""
_WARM_START = "warm_start"
"""Location in the overrides of training."""
_PREFIX, _DATA = "aws_s3_prefix", "data_uri"
_GIVE = f"give --pipeline-root s3://BUCKET/PREFIX, or --param {_PREFIX}=s3://BUCKET/PREFIX to copy through"


def check_storage(parameters: Container[str], arguments: Mapping[str, Any], pipeline_root: str) -> str:
    """Refuse locations that pods or SageMaker cannot reach.

    Args:
        parameters: names of the pipeline's parameters.
        arguments: arguments, by name.
        pipeline_root: pipeline root of the run; '' for the cluster's default.

    Returns:
        A warning about what only the cluster knows; '' for none.

    Raises:
        InputError: that names the parameter at fault.
    """
    overrides = arguments.get("train_overrides") or {}
    locations = {name: arguments.get(name) for name in _LOCATIONS if name in parameters}
    for name, location in {**locations, _WARM_START: overrides.get(_WARM_START)}.items():
        if location and not is_s3(str(location)):
            raise InputError(
                f"parameter '{name}' is '{location}', which pods cannot read; expected an s3:// URI: copy the data "
                "there, such as by 'aws s3 cp FILE s3://BUCKET/PREFIX/', and give that URI"
            )
    if _PREFIX not in parameters or _DATA not in parameters or arguments.get(_PREFIX):
        return ""  # a release has its model from the package, in S3
    if pipeline_root and is_s3(pipeline_root):
        split_uri(pipeline_root)
    if pipeline_root and not is_s3(pipeline_root):
        raise InputError(f"pipeline_root: '{pipeline_root}' cannot be reached by SageMaker; {_GIVE}")
    if pipeline_root:
        return ""
    return (
        f"neither --pipeline-root nor {_PREFIX} is given: KFP's default root is MinIO, which SageMaker cannot reach, "
        "unless the ConfigMap 'kfp-launcher' of the pods' namespace names an s3:// root (defaultPipelineRoot); "
        f"on MinIO the run ends in preprocess; {_GIVE}"
    )
