"""The tables in components/sagemaker.md name each input of AWS's former components, and parameters that exist."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from readmes import ROOT

from ncf.stage.registry import load_stage

_COMMON = [
    "region",
    "endpoint_url",
    "assume_role",
    "tags",
    "job_name",
    "role",
    "instance_type",
    "instance_count",
    "resource_encryption_key",
    "output_encryption_key",
    "vpc_security_group_ids",
    "vpc_subnets",
    "network_isolation",
]
_VARIANT = [
    "variant_name",
    "model_name",
    "initial_instance_count",
    "instance_type",
    "initial_variant_weight",
    "accelerator_type",
]
_TRAINING = [
    "spot_instance",
    "max_wait_time",
    "max_run_time",
    "checkpoint_config",
    "image",
    "algorithm_name",
    "metric_definitions",
    "training_input_mode",
    "channels",
    "volume_size",
    "traffic_encryption",
]
_FORMER: Mapping[str, list[str]] = {
    "train": [*_TRAINING, "hyperparameters", "model_artifact_path", "debug_hook_config", "debug_rule_config"],
    "process": [
        "image",
        "volume_size",
        "max_run_time",
        "environment",
        "container_entrypoint",
        "container_arguments",
        "output_config",
        "input_config",
        "traffic_encryption",
    ],
    "batch_transform": [
        "model_name",
        "max_concurrent",
        "max_payload",
        "batch_strategy",
        "environment",
        "input_location",
        "data_type",
        "content_type",
        "split_type",
        "compression_type",
        "output_location",
        "accept",
        "assemble_with",
        "input_filter",
        "output_filter",
        "join_source",
    ],
    "hyperparameter_tuning": [
        *_TRAINING,
        *[
            "strategy",
            "metric_name",
            "metric_type",
            "early_stopping_type",
            "static_parameters",
            "integer_parameters",
            "continuous_parameters",
            "categorical_parameters",
            "output_location",
            "max_num_jobs",
            "max_parallel_jobs",
            "warm_start_type",
            "parent_hpo_jobs",
        ],
    ],
    "model": [
        "model_name",
        "container_host_name",
        "image",
        "model_artifact_url",
        "environment",
        "model_package",
        "secondary_containers",
    ],
    "deploy": [
        "endpoint_name",
        "endpoint_config_name",
        "endpoint_config_tags",
        "update_endpoint",
        *(f"{name}_1" for name in _VARIANT),
    ],
}
"""Component of kubeflow/pipelines, commit 1665dc5 -> its inputs, without the common ones."""
_STAGES = {
    "train": "sagemaker-train",
    "process": "sagemaker-process",
    "batch_transform": "sagemaker-transform",
    "hyperparameter_tuning": "sagemaker-tune",
    "model": "sagemaker-transform",
    "deploy": "deploy",
}


def rows(component: str) -> list[tuple[str, str]]:
    text = (ROOT / "components/sagemaker.md").read_text().split(f"\n### {component}\n")[1].split("\n### ")[0]
    found = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| `")]
    return [(former.strip(), here.strip()) for former, here in found]


def names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


@pytest.mark.parametrize("component", _FORMER)
def test_each_former_input_has_a_row(component: str) -> None:
    found = [name for former, _ in rows(component) for name in names(former)]
    assert set(_FORMER[component]) <= set(found)
    assert set(found) <= {*_FORMER[component], *_COMMON, "_2", "_3"}


@pytest.mark.parametrize("component", _FORMER)
def test_each_name_here_exists(component: str) -> None:
    stage = load_stage(_STAGES[component])
    known = {*stage.parameters(), *stage.inputs(), *stage.outputs(), "deploy"}
    for former, here in rows(component):
        if here.startswith("the same"):
            assert set(names(former)) <= known, former
        assert set(names(here)) <= known, here


def test_common_inputs_are_common() -> None:
    text = (ROOT / "components/sagemaker.md").read_text()
    (line,) = re.findall(r"These inputs are the same in all components: (.*?)\.\n", text, re.S)
    assert set(names(line)) == set(_COMMON) - {"endpoint_url", "job_name"}
    for stage in ("sagemaker-train", "sagemaker-process", "sagemaker-transform", "sagemaker-tune"):
        assert set(names(line)) <= set(load_stage(stage).parameters()), stage
