"""The CloudFormation template of triggers is valid, and gives each rule what it needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_kfp import ROLE
from trigger_world import RULES, rules_of

import pipeline
from components.cluster.trigger_resources import as_yaml, resources, template
from ncf.watching.causes import Schedule

FILE = """
rules:
  - name: new-data
    on: {objects: {bucket: data, prefix: ratings/}}
    window: 15m
    pipeline: ncf
    parameters: {data_uri: s3://data/ratings/, train_role: ROLE, deploy_role: ROLE, MORE}
  - name: release
    on: {approved: ncf}
    pipeline: ncf-release
    parameters: {package: "{package}", deploy_endpoint_name: ncf-shop, deploy_role: ROLE}
  - {name: own, on: {alarm: x}, pipeline: own}
"""


def written(folder: Path, more: str = "seed: 1", **replaced: str) -> Path:
    text = FILE.replace("ROLE", f'"{ROLE}"').replace("MORE", more)
    for name, value in replaced.items():
        text = text.replace(name, value)
    path = folder / "triggers.yaml"
    path.write_text(text)
    return path


def test_the_template_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(as_yaml(template(rules_of(tmp_path))))
    lint = "from cfnlint.runner import main; raise SystemExit(main())"
    result = subprocess.run([sys.executable, "-c", lint, "-t", str(path)], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_each_rule_sends_to_the_queue_in_its_own_group_and_no_other_may(tmp_path: Path) -> None:
    rules = rules_of(tmp_path)
    found = resources(rules)
    groups = []
    for entry in found.values():
        target = entry["Properties"].get("Target") or entry["Properties"].get("Targets", [None])[0]
        if target:
            assert target["Arn"] == {"Fn::GetAtt": ["TriggerQueue", "Arn"]}
            groups.append(target["SqsParameters"]["MessageGroupId"])
    assert sorted(groups) == sorted(rules)
    (statement,) = found["TriggerQueuePolicy"]["Properties"]["PolicyDocument"]["Statement"]
    senders = statement["Condition"]["ArnEquals"]["aws:SourceArn"]
    assert {sender["Fn::GetAtt"][0] for sender in senders} == {
        name for name, entry in found.items() if entry["Type"] == "AWS::Events::Rule"
    }


def test_the_message_of_a_schedule_is_one_that_the_watcher_reads(tmp_path: Path) -> None:
    given = json.loads(resources(rules_of(tmp_path))["TriggerScheduleNightly"]["Properties"]["Target"]["Input"])
    assert given["time"] == "<aws.scheduler.scheduled-time>"
    cause = Schedule(expression="rate(1 day)").cause({**given, "time": "2026-11-29T03:00:00Z"})
    assert cause.identity == "2026-11-29T03:00:00+00:00"


def test_the_queue_may_be_that_of_another_stack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    queue = "arn:aws:sqs:us-east-1:123456789012:ncf-triggers.fifo"
    pipeline.main(["triggers", str(written(tmp_path)), f"--queue-arn={queue}"])
    found = yaml.safe_load(capsys.readouterr().out)
    assert {entry["Type"] for entry in found["Resources"].values()} == {"AWS::Events::Rule"}
    assert found["Resources"]["TriggerRuleRelease"]["Properties"]["Targets"][0]["Arn"] == queue
    with_schedule = template(rules_of(tmp_path), queue)["Resources"]
    (role,) = [entry for entry in with_schedule.values() if entry["Type"] == "AWS::IAM::Role"]
    assert role["Properties"]["Policies"][0]["PolicyDocument"]["Statement"][0]["Resource"] == queue


def test_without_schedules_there_is_no_role(tmp_path: Path) -> None:
    text = RULES[: RULES.index("  - name: nightly")]
    assert "TriggerScheduleRole" not in resources(rules_of(tmp_path, text))


def test_the_command_writes_the_template(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "template.yaml"
    pipeline.main(["triggers", str(written(tmp_path)), "--output", str(output)])
    assert yaml.safe_load(output.read_text())["Resources"]["TriggerRuleNewData"]
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "rule 'new-data' starts pipeline 'ncf'"
    assert "its parameters are not checked" in said[2]
    pipeline.main(["triggers", str(written(tmp_path))])
    assert capsys.readouterr().out == output.read_text()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"more": "epochz: 3"}, "rule 'new-data': 'epochz' is not a parameter of pipeline 'ncf'"),
        ({"more": "train_epochs: many"}, "rule 'new-data': parameter 'train_epochs' is 'many'"),
        ({"package:": "packages:"}, "rule 'release': 'packages' is not a parameter"),
        ({"deploy_endpoint_name: ncf-shop, ": ""}, "have no default: deploy_endpoint_name"),
        ({"window: 15m": "window: soon"}, "rule 'new-data': 'window' is 'soon'"),
    ],
)
def test_faults_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], said: str
) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(SystemExit, match="2"):
        pipeline.main(["triggers", str(path)])
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err
