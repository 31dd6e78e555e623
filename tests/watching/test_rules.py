"""The file of rules says which events start which pipeline, or what is wrong with it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from trigger_world import START, created, rules_of

from ncf.errors import InputError
from ncf.watching.rules import Window, load

ONE = """
rules:
  - name: {name}
    on: {on}
    pipeline: ncf
    {more}
"""
OBJECTS = "{objects: {bucket: data}}"


def one(folder: Path, name: str = "new-data", on: str = OBJECTS, more: str = "") -> str:
    """The error of a file with one rule."""
    with pytest.raises(InputError) as raised:
        rules_of(folder, ONE.format(name=name, on=on, more=more))
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "on", "more", "said"),
    [
        ("New", OBJECTS, "", "rule 'New': 'name' is 'New'"),
        ("a-1", OBJECTS, "", "rule 'a-1': 'name' is 'a-1'"),
        (
            "a",
            "{alarm: x, breach: y}",
            "",
            "expected one of objects, approved, alarm, schedule, breach; alarm and breach",
        ),
        ("a", "{}", "", "none is given"),
        ("a", "{object: x}", "", "'on.object' is unknown"),
        ("a", "{objects: {bucket: A}}", "", "'on.objects.bucket' is 'A'"),
        ("a", "{objects: {}}", "", "'on.objects.bucket' is required"),
        ("a", '{schedule: {expression: "0 3 * * *"}}', "", "expected an expression of EventBridge Scheduler"),
        ("a", '{approved: ""}', "", "rule 'a'"),
        ("a", OBJECTS, "window: 5s", "'window' is '5s': expected a time from 10s to 7d"),
        ("a", OBJECTS, "window: 30d", "'window' is '30d'"),
        ("a", OBJECTS, "window: soon", "'window' is 'soon'"),
        ("a", OBJECTS, "windows: 15m", "rule 'a': 'windows' is unknown"),
        ("a", OBJECTS, 'parameters: {x: "{key}"}', "'{key}' is unknown; expected {uri}"),
        ("a", OBJECTS, 'window: 15m\n    parameters: {x: "{uri}"}', "expected none, as a window has many causes"),
        ("a", "{alarm: x}", 'parameters: {x: "{uri}"}', "expected none for these events"),
        ("a", OBJECTS, "pipeline_root: s3://data/kfp", "would start further runs, as the rule is for s3://data/"),
        ("a", OBJECTS, "parameters: {aws_s3_prefix: s3://data}", "'aws_s3_prefix' is 's3://data'"),
        ("a", OBJECTS, "parameters: {x: 2026-01-01}", "'parameters.x' is datetime.date(2026, 1, 1)"),
    ],
)
def test_faults_name_the_rule_the_field_and_what_is_accepted(
    tmp_path: Path, name: str, on: str, more: str, said: str
) -> None:
    assert said in one(tmp_path, name, on, more)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no rules"),
        ("rules: []", "holds no rules"),
        ("rules: [7]", "rule 1: input should be"),
        ("rules: [{name: a}]\nversion: 1", "holds no rules; expected 'rules:'"),
        ("rules: [", "cannot be read as YAML"),
        (f"rules: {'[' * 3000}", "cannot be read as YAML: too many levels"),
        ("rules: [{name: a, name: b}]", "'name' is given twice"),
        ("rules: [{name: a}]", "rule 'a': 'on' is required; rule 'a': 'pipeline' is required"),
    ],
)
def test_files_without_rules(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as raised:
        rules_of(tmp_path, text)
    assert said in str(raised.value)
    assert str(tmp_path / "triggers.yaml") in str(raised.value)


def test_a_file_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        load(tmp_path / "none.yaml")


def test_two_rules_of_one_name(tmp_path: Path) -> None:
    entry = "  - {name: a, on: {alarm: x}, pipeline: ncf}\n"
    with pytest.raises(InputError, match="rule 'a': two rules have this name"):
        rules_of(tmp_path, f"rules:\n{entry}{entry}")


def test_runs_may_write_beside_what_starts_them(tmp_path: Path) -> None:
    on = "{objects: {bucket: data, prefix: ratings/}}"
    more = "pipeline_root: s3://data/kfp\n    parameters: {aws_s3_prefix: s3://other/ratings}"
    assert rules_of(tmp_path, ONE.format(name="a", on=on, more=more))


def test_placeholders_stay_within_their_value(tmp_path: Path) -> None:
    more = 'parameters: {data_uri: "{uri}", top_k: 7, text: "{\\"a\\": 1}", list: [1]}'
    rule = rules_of(tmp_path, ONE.format(name="a", on=OBJECTS, more=more))["a"]
    cause = rule.on.kind.cause(created("x {uri}.csv", START))
    assert rule.arguments(cause) == {"data_uri": "s3://data/x {uri}.csv", "top_k": 7, "text": '{"a": 1}', "list": [1]}


@pytest.mark.parametrize("key", ["x" * 1000, "ü" * 300, "a\nb", "a b"])
def test_the_name_of_a_run_is_short_printable_and_of_its_cause_alone(tmp_path: Path, key: str) -> None:
    rule = rules_of(tmp_path, ONE.format(name="n" * 40, on=OBJECTS, more=""))["n" * 40]
    names = [rule.name_of(rule.on.kind.cause(created(f"{key}{end}", START))) for end in ("", "", "2")]
    assert names[0] == names[1] != names[2]
    assert all(len(name) <= 128 and name.isprintable() for name in names)


@pytest.mark.parametrize("seconds", [10, 900, 86_400])
def test_windows_cover_all_times_once(seconds: int) -> None:
    length = timedelta(seconds=seconds)
    window = Window.of(datetime(2026, 11, 29, 3, 7, 12, tzinfo=UTC), length)
    assert window.start <= datetime(2026, 11, 29, 3, 7, 12, tzinfo=UTC) < window.end
    assert Window.of(window.start, length) == Window.of(window.end - timedelta(microseconds=1), length) == window
    assert Window.of(window.end, length) == window.next


def test_a_new_length_of_the_window_is_another_name(tmp_path: Path) -> None:
    names = set()
    for window in ("15m", "900s", "30m"):
        rule = rules_of(tmp_path, ONE.format(name="a", on=OBJECTS, more=f"window: {window}"))["a"]
        names.add(rule.name_of_window(rule.window_of(rule.on.kind.cause(created("x", START)))))
    assert names == {"a 2026-11-29T03:00:00Z 15m", "a 2026-11-29T03:00:00Z 30m"}
