"""``pipeline.py triggers``: rules of triggers, checked, and the CloudFormation template of what they need in AWS."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.cluster.trigger_resources import as_yaml, template
from components.compiling.arguments import check_arguments
from ncf.errors import InputError
from ncf.staged_output import staged
from ncf.watching.rules import Rule, load

_SAMPLES = {
    "{uri}": "s3://bucket/key",
    "{package}": "arn:aws:sagemaker:us-east-1:123456789012:model-package/group/1",
}
"""Values for the placeholders of parameters."""


def add(commands: Any, pipelines: Sequence[Any]) -> None:
    """Add the command to the parser of ``pipeline.py``.

    Args:
        commands: the subparsers.
        pipelines: of this project.
    """
    text = "check rules of triggers, and print the CloudFormation template of what they need in AWS"
    made = commands.add_parser("triggers", help=text, description=text)
    made.set_defaults(function=_triggers, pipelines=pipelines)
    made.add_argument("rules", type=Path, help="file of rules, triggers.yaml")
    made.add_argument(
        "--queue-arn", default="", metavar="ARN", help="queue of another stack; default: queues of its own"
    )
    made.add_argument("--output", type=Path, help="file to write the template to; default: stdout")


def check(rules: Mapping[str, Rule], pipelines: Sequence[Any]) -> None:
    """Refuse parameters that a pipeline of this project does not accept. Other pipelines are not checked.

    Raises:
        InputError: that names the rule and the parameter at fault.
    """
    by_name = {str(pipeline.pipeline_spec.pipeline_info.name): pipeline for pipeline in pipelines}
    for rule in rules.values():
        if pipeline := by_name.get(rule.pipeline):
            try:
                _check(rule, pipeline)
            except InputError as error:
                raise InputError(f"rule '{rule.name}': {error}") from None


def _check(rule: Rule, pipeline: Any) -> None:
    inputs = pipeline.component_spec.inputs or {}
    arguments = {name: _sampled(value) for name, value in rule.parameters.items()}
    if unknown := [name for name in arguments if name not in inputs]:
        raise InputError(f"'{unknown[0]}' is not a parameter of pipeline '{rule.pipeline}'")
    if missing := [name for name, entry in inputs.items() if not entry.optional and arguments.get(name, "") == ""]:
        raise InputError(f"these parameters of pipeline '{rule.pipeline}' have no default: {', '.join(missing)}")
    check_arguments(arguments, pipeline)


def _sampled(value: Any) -> Any:
    for placeholder, sample in _SAMPLES.items() if isinstance(value, str) else ():
        value = value.replace(placeholder, sample)
    return value


def _triggers(options: argparse.Namespace) -> None:
    rules = load(options.rules)
    check(rules, options.pipelines)
    text = as_yaml(template(rules, options.queue_arn))
    if options.output:
        with staged(options.output) as temporary:
            temporary.write_text(text)
    else:
        print(text, end="")
    own = {str(pipeline.pipeline_spec.pipeline_info.name) for pipeline in options.pipelines}
    for rule in rules.values():
        known = "" if rule.pipeline in own else "; its parameters are not checked, as it is not of this project"
        print(f"rule '{rule.name}' starts pipeline '{rule.pipeline}'{known}", file=sys.stderr)
