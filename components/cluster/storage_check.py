"""Whether the pods of a run will find what they need in S3: known before it is submitted."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from ncf.errors import InputError
from ncf.storage import is_s3, split_uri

_PLACES = ("data_uri", "data_items_uri", "model_uri", "users_uri", "checkpoints")
"""Parameters that name what pods read or write, or nothing."""
_PREFIX = "aws_s3_prefix"
_GIVE = f"give --pipeline-root s3://BUCKET/PREFIX, or --param {_PREFIX}=s3://BUCKET/PREFIX to copy through"


def check_storage(parameters: Container[str], arguments: Mapping[str, Any], pipeline_root: str) -> str:
    """Refuse what pods or SageMaker cannot reach.

    Args:
        parameters: names of those that the pipeline has.
        arguments: those given, by name.
        pipeline_root: of the run; '' for the cluster's default.

    Returns:
        What may be missing, which only the cluster knows; '' for nothing.

    Raises:
        InputError: that names the parameter at fault.
    """
    for name in _PLACES:
        if name in parameters and (place := arguments.get(name)) and not is_s3(place):
            raise InputError(f"parameter '{name}' is '{place}', which pods cannot see; expected an s3:// URI")
    if _PREFIX not in parameters or arguments.get(_PREFIX):
        return ""
    if pipeline_root and is_s3(pipeline_root):
        split_uri(pipeline_root)
    if pipeline_root and not is_s3(pipeline_root):
        raise InputError(f"pipeline_root: '{pipeline_root}' is out of SageMaker's reach; {_GIVE}")
    if pipeline_root:
        return ""
    return (
        f"neither --pipeline-root nor {_PREFIX} is given: KFP's default root is MinIO, which SageMaker cannot reach, "
        "unless the ConfigMap 'kfp-launcher' of the pods' namespace names an s3:// root (defaultPipelineRoot); "
        f"on MinIO the run ends in preprocess; {_GIVE}"
    )
