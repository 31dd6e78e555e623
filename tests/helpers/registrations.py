"""Models to be registered."""

from __future__ import annotations

from typing import Any

from ncf.sagemaker.registry.record import Record

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/ncf-deploy@sha256:" + "0" * 64
CONTENT: dict[str, Any] = {
    "counts": {"users": 12, "items": 40, "train": 48, "weights": 900},
    "parameters": {"model": "neumf", "factors": 8, "tower": [64, 32], "pretrain_overrides": {}, "seed": 1},
    "source": {
        "fingerprint": "f" * 64,
        "version": "1.0.0",
        "commit": "abc123",
        "image": "registry/ncf-train:1",
        "training_job": "ncf-train-0123456789abcdef",
        "run": "run-1",
        "dataset": {"counts": {"users": 12, "items": 40, "train": 48, "validation": 12, "test": 12}},
    },
    "files": {"weights.safetensors": {"bytes": 1, "sha256": "0" * 64}},
}
METRICS = {"gate_passed": 1.0, "full_ndcg_at_10": 0.123456, "full_hr_at_10": 0.25}
URIS = {"metrics": "s3://bucket/run/metrics", "report": "s3://bucket/run/report", "diff": "s3://bucket/run/diff"}


def record(
    group: str = "ncf", run: str = "run-1", closed_by: str = "", release: str = "at_once", **more: Any
) -> Record:
    """A model to be registered."""
    values: dict[str, Any] = {
        "image": IMAGE,
        "model": "s3://bucket/run/model",
        "is_archive": False,
        "content": CONTENT,
        "metrics": METRICS,
        "uris": URIS,
        **more,
    }
    return Record(group=group, run=run, closed_by=closed_by, release=release, **values)
