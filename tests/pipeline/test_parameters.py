"""Parameters of a run are checked against the stages that they reach, before anything runs."""

from __future__ import annotations

import pytest

import pipeline
from components.compiling.arguments import parse_arguments, split_assignments
from components.compiling.parameters_check import renamed
from ncf.errors import InputError


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["notify=foo"], r"'notify': expected the ARN of an SNS topic"),
        (["aws_region=nowhere"], r"'aws_region' is 'nowhere': expected the name of an AWS region"),
        (["train_role=foo"], r"'train_role' is 'foo': expected the ARN"),
        (["seed=-1"], r"'seed' is -1"),
        (["data_split=temporal"], "split 'temporal' requires test_after.*'test_after' is 'data_test_after'"),
        (["epochs=abc"], "^parameter 'epochs' is 'abc'"),
        (["epochs=3", "epochs=4"], "parameter 'epochs' is given twice"),
        (["epochs=3", "train_epochs=4"], "parameter 'train_epochs' is given twice, also as 'epochs'"),
        (
            ["tower=[32, 16]", "train_overrides={'tower': [64, 32]}"],
            "'tower' is given twice, also as 'tower' in 'train_ov",
        ),
        (
            ["train_overrides=epochs=5", "train_epochs=4"],
            "'train_epochs' is given twice, also as 'epochs' in 'train_over",
        ),
        (
            ["tags=a=b", "deploy_overrides={'tags': {'a': 'c'}}"],
            "'tags' is given twice, also as 'tags' in 'deploy_overrides",
        ),
        (["min_rating=4"], "'min_rating' is a parameter of the component preprocess; here it is 'data_min_rating'"),
        (["candidates=30"], "component negative-sampling; here it is 'sampling_candidates'"),
        (
            ["role=x"],
            "'role' is a parameter of the components deploy and train; here it is 'deploy_role' or 'train_role'",
        ),
        (["data_rating=4"], "did you mean .*data_min_rating"),
        (["sampling_candidates=0"], "parameter 'sampling_candidates' is 0"),
        (["data_max_unreadable=2"], "parameter 'data_max_unreadable' is 2"),
        (
            ["data_event_weights=view=-1"],
            "parameter 'data_event_weights' is .*: the weight of 'view' is -1; expected 0, or",
        ),
        (["data_since=soon"], "parameter 'data_since' is 'soon': expected an ISO date"),
        (["vpc_subnets=subnet-1"], "'vpc_subnets' and 'vpc_security_group_ids' go together"),
        (["spot_instance=true"], "max_wait_time"),
        (["serverless_memory=2048"], "'network_isolation' is True"),
        (["pretrain=true", "model=gmf"], "'pretrain' is true, but 'model' is 'gmf'"),
        (["model=neumf", "pretrain=true", "warm_start=s3://b/m"], "'warm_start' and 'pretrain' are both set"),
        (["epoch=3"], "did you mean epochs"),
    ],
)
def test_what_a_stage_would_refuse_is_refused_at_once(given: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_arguments(given, pipeline.ncf_pipeline)


def test_what_job_and_endpoint_share_reaches_both() -> None:
    network = ["vpc_subnets=subnet-1", "vpc_security_group_ids=sg-1"]
    arguments = parse_arguments(network, pipeline.ncf_pipeline)
    for carrier in ("train_overrides", "deploy_overrides"):
        assert arguments[carrier] == {"vpc_subnets": "subnet-1", "vpc_security_group_ids": "sg-1"}


def test_an_argument_counts_where_settings_are_compared() -> None:
    """The job's time to run is the pipeline's own parameter, its time to wait an override."""
    spot = ["spot_instance=true", "max_wait_time=900"]
    assert parse_arguments([*spot, "train_max_run_time=600"], pipeline.ncf_pipeline)
    with pytest.raises(InputError, match="max_wait_time"):
        parse_arguments([*spot, "train_max_run_time=1000"], pipeline.ncf_pipeline)


def test_what_is_like_nothing_gets_no_list_of_everything() -> None:
    with pytest.raises(InputError, match="'qqqq' is not a parameter of the pipeline; the nearest are") as error:
        parse_arguments(["qqqq=1"], pipeline.ncf_pipeline)
    assert len(str(error.value)) < 250


def test_a_parameter_of_a_stage_is_the_pipeline_s_own_where_it_has_one() -> None:
    arguments = parse_arguments(["epochs=3", "model=gmf", "dropout=0.1"], pipeline.ncf_pipeline)
    assert arguments == {"train_epochs": 3, "train_model": "gmf", "train_overrides": {"dropout": 0.1}}


@pytest.mark.parametrize(
    ("text", "assignments"),
    [
        ("", []),
        (" epochs=5  model=gmf ", ["epochs=5", "model=gmf"]),
        ('train_overrides={"a": 1, "b": [1, 2]} epochs=5', ['train_overrides={"a": 1, "b": [1, 2]}', "epochs=5"]),
        ("tower=[64, 32]\nnotify=", ["tower=[64, 32]", "notify="]),
        ("epochs 5", ["epochs 5"]),
    ],
)
def test_a_text_of_parameters_is_split_before_each_name(text: str, assignments: list[str]) -> None:
    assert split_assignments(text) == assignments


@pytest.mark.parametrize(
    ("stage", "message", "shown"),
    [
        ("preprocess", "name one with user_column", " (in the pipeline, 'user_column' is 'data_user_column')"),
        ("negative-sampling", "lower 'candidates' to 38", " (in the pipeline, 'candidates' is 'sampling_candidates')"),
        ("negative-sampling", "fewer than 99 candidates", ""),
        ("train", "name one with user_column", ""),
        ("preprocess", "'seed' is called the same", ""),
    ],
)
def test_a_stage_that_fails_names_parameters_that_the_pipeline_has(stage: str, message: str, shown: str) -> None:
    assert renamed(pipeline.ncf_pipeline.pipeline_spec, stage, message) == shown


def test_a_whole_number_is_a_float_where_kfp_expects_one() -> None:
    """KFP's local runner refuses 4 for a parameter of type float."""
    value = parse_arguments(["data_min_rating=4"], pipeline.ncf_pipeline)["data_min_rating"]
    assert (type(value), value) == (float, 4.0)
    with pytest.raises(InputError, match="'data_min_rating' is '1000.*expected a number"):
        parse_arguments(["data_min_rating=1" + 400 * "0"], pipeline.ncf_pipeline)


def test_blanks_around_the_sign_are_left_out() -> None:
    assert parse_arguments(["data_min_rating = 4"], pipeline.ncf_pipeline)["data_min_rating"] == 4
