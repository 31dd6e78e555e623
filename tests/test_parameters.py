"""Values as people, forms, KFP and SageMaker write them, read by one function in every entrance."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kfp.local.config import LocalExecutionConfig

import pipeline
from components.compiling.arguments import parse_arguments
from ncf.errors import InputError
from ncf.parameters import read
from ncf.stage import parsing
from ncf.stage.executor_input import ExecutorInput
from ncf.stages.check import Check
from ncf.stages.evaluate import Evaluate
from ncf.stages.preprocess import Preprocess
from ncf.training.fit import Fit
from ncf.training.hyperparameters import Hyperparameters
from ncf.training.sagemaker_program import fit_arguments

LIST, DICT, TEXTS = list[int], dict[str, Any], dict[str, str]


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        *((float, value, 4.0) for value in (4, 4.0, "4", "4.0", " 4 ", '"4"', "4e0")),
        *((int, value, 4) for value in (4, 4.0, "4", "4.0", " 4 ", '"4"', "+4", "4e0")),
        (int, str(2**63 + 1), 2**63 + 1),
        *((bool, value, True) for value in (True, 1, 1.0, "True", "true", "TRUE", "yes", "Yes", "on", "1", '"true"')),
        *((bool, value, False) for value in (False, 0, 0.0, "False", "false", "no", "off", "0", " false ")),
        *((LIST, value, [64, 32]) for value in ([64, 32], [64.0, 32.0], (64, 32), "[64,32]", "[64.0, 32]")),
        *((LIST, value, [64, 32]) for value in ("64,32", "64, 32", "64 32", "(64, 32)", '"[64, 32]"', "['64', '32']")),
        *((LIST, value, [64]) for value in ("64", 64, "[64]", "(64)")),
        *((LIST, value, []) for value in ([], "", "[]")),
        *((DICT, value, {"a": 1}) for value in ({"a": 1}, '{"a": 1}', "{'a': 1}", "{a: 1}", '"{\\"a\\": 1}"')),
        *((DICT, value, {}) for value in ({}, "", "{}", "{ }")),
        (DICT, "{'a': true, 'b': False, \"c\": null, d: None}", {"a": True, "b": False, "c": None, "d": None}),
        (DICT, "{'gmf': {'epochs': 3}, 'mlp': {'tower': [8, 4]}}", {"gmf": {"epochs": 3}, "mlp": {"tower": [8, 4]}}),
        (DICT, "{'rate': 1e-3, 'low': -2}", {"rate": 0.001, "low": -2}),
        (DICT, "team=recs,cost-centre=12", {"team": "recs", "cost-centre": "12"}),
        *((TEXTS, value, {"a": "42"}) for value in ({"a": 42}, {"a": 42.0}, "{'a': 42}", '{"a": "42"}', "a=42")),
        (TEXTS, "{'a': True, 'b': 0.5}", {"a": "true", "b": "0.5"}),
        (str, "'as it is' ", "'as it is' "),
        (str, "4", "4"),
    ],
)
def test_values_are_read_as_written(annotation: Any, value: Any, expected: Any) -> None:
    found = read(value, annotation)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        *((float, value) for value in ("", "four", "4,5", "nan", "inf", "1e999", True, None, [4])),
        *((int, value) for value in ("", "4.5", 4.5, "four", True, None, "nan", [4], "9" * 5000)),
        *((bool, value) for value in ("", "maybe", "2", 2, 0.5, None, [])),
        *((LIST, value) for value in ("wide", "[64", "64.5,32", "[True]", {"a": 1}, None, True, "[" * 5000)),
        *((DICT, value) for value in ("[1]", "4", "{", "{'a': open('x')}", "{**a}", "a", 4, None, "{" * 5000)),
        (DICT, "{'a': __import__('os').getcwd()}"),
        (DICT, "\0"),
    ],
)
def test_other_values_are_refused_with_what_is_accepted(annotation: Any, value: Any) -> None:
    with pytest.raises(
        ValueError, match=r"^expected (a number|a whole number|true or false|a list such|a JSON object)"
    ):
        read(value, annotation)


@given(value=st.text(max_size=20), annotation=st.sampled_from([bool, int, float, LIST, DICT]))
def test_any_text_is_read_or_refused(value: str, annotation: Any) -> None:
    try:
        found = read(value, annotation)
    except ValueError:
        return
    assert read(found, annotation) == found


ROLE = "arn:aws:iam::123456789012:role/x"
SETTINGS: dict[str, tuple[list[str], Any]] = {
    "tower": (["[64,32]", "64,32", "64, 32", "(64, 32)"], [64, 32]),
    "refit": (["True", "true", "yes", "1"], True),
    "dropout": (["0", "0.0", "0e0"], 0.0),
    "epochs": (["3", "3.0"], 3),
    "pretrain_overrides": (
        ['{"gmf": {"epochs": 2}}', "{'gmf': {'epochs': 2}}", "{gmf: {epochs: 2}}"],
        {"gmf": {"epochs": 2}},
    ),
}


def of_run(name: str, text: str) -> Any:
    arguments = parse_arguments([f"{name}={text}"], pipeline.ncf_pipeline)
    return {**arguments, **arguments.get("train_overrides", {})}[name if name != "epochs" else "train_epochs"]


def of_command(name: str, text: str) -> Any:
    flags = [f"--{name.replace('_', '-')}", text, "--dataset", "d", "--samples", "s"]
    return getattr(parsing.parse(Fit, flags), name)


def of_sagemaker(name: str, text: str) -> Any:
    arguments = fit_arguments({name: json.dumps(text)}, {"dataset": Path("d"), "samples": Path("s")})
    return getattr(parsing.parse(Fit, arguments), name)


def of_override(name: str, text: str) -> Any:
    return getattr(Hyperparameters(**{name: text}), name)


@pytest.mark.parametrize("entrance", [of_run, of_command, of_sagemaker, of_override])
@pytest.mark.parametrize("name", SETTINGS)
def test_every_entrance_reads_alike(entrance: Callable[[str, str], Any], name: str) -> None:
    texts, expected = SETTINGS[name]
    for text in texts:
        found = entrance(name, text)
        assert (found, type(found)) == (expected, type(expected)), text


@pytest.mark.parametrize("entrance", [of_run, of_command, of_sagemaker])
def test_every_entrance_names_the_parameter(entrance: Callable[[str, str], Any]) -> None:
    for name in ("tower", "pretrain_overrides", "refit", "epochs"):
        with pytest.raises(InputError, match=rf"parameter '{name}' is 'w x'[:;] expected (a|true) "):
            entrance(name, "w x")


FLOATS = [name for name, entry in pipeline.ncf_pipeline.component_spec.inputs.items() if entry.type == "Float"]


def test_whole_numbers_for_floats_are_arguments_of_kfp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalExecutionConfig, "instance", None)  # which KFP keeps from an earlier test of the process
    required = {"data_uri": "s3://b/x", "train_role": ROLE, "deploy_role": ROLE}
    assert set(FLOATS) >= {"data_min_rating", "data_max_unreadable", "gate_min_hr_at_10"}
    arguments = parse_arguments([f"{name}=1" for name in FLOATS], pipeline.ncf_pipeline)
    with pytest.raises(RuntimeError, match="Local environment not initialized"):  # KFP has accepted the types
        pipeline.ncf_pipeline(**required, **arguments)


def executor_input(folder: Path, stage: Any, parameters: dict[str, Any]) -> ExecutorInput:
    roles = {**stage.inputs(), **stage.outputs()}
    artifacts = {name: {"artifacts": [{"name": name, "uri": f"{folder}/{name}"}]} for name in roles}
    return ExecutorInput(
        {
            "inputs": {"parameterValues": parameters, "artifacts": artifacts},
            "outputs": {"outputFile": f"{folder}/out"},
        }
    )


@pytest.mark.parametrize("rating", [4, 4.0, "4"])
def test_a_form_s_numbers_reach_the_stage(tmp_path: Path, rating: Any) -> None:
    given = {"min_rating": rating, "min_user_interactions": 5.0, "interactions_uri": "s3://b/x"}
    values = executor_input(tmp_path, Preprocess, given)
    del values.content["inputs"]["artifacts"]["interactions"]  # type: ignore[index]
    made = parsing.from_executor_input(Preprocess, values)
    assert (made.min_rating, made.min_user_interactions) == (4.0, 5)  # type: ignore[attr-defined]


def test_a_form_s_text_reaches_the_stage(tmp_path: Path) -> None:
    given = {"not_worse_than": "none", "max_eval_users": "100.0", "min_hr_at_10": 0}
    made = parsing.from_executor_input(Evaluate, executor_input(tmp_path, Evaluate, given))
    assert (made.not_worse_than, made.max_eval_users, made.min_hr_at_10) == ("none", 100, 0.0)  # type: ignore[attr-defined]
    given = {
        **dict.fromkeys(("train_role", "deploy_role"), ROLE),
        **dict.fromkeys(("train_image", "deploy_image"), "registry/image:1"),
        "train_overrides": "{'dropout': 0, 'tower': '64,32', 'refit': 'yes'}",
    }
    checked = parsing.from_executor_input(Check, executor_input(tmp_path, Check, given))
    assert checked.train_overrides == {"dropout": 0, "tower": "64,32", "refit": "yes"}  # type: ignore[attr-defined]


def test_text_of_a_setting_stays_text() -> None:
    """Subnets, tags and names that look like numbers."""
    arguments = parse_arguments(["warm_start=12", "tags=team=recs,costs=7"], pipeline.ncf_pipeline)
    assert arguments["train_overrides"] == {"warm_start": "12", "tags": {"team": "recs", "costs": "7"}}
