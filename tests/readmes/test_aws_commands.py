"""The check of AWS's commands finds what the command line would refuse."""

from __future__ import annotations

import aws_commands
import pytest


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("sagemakr list-endpoints", "no service sagemakr"),
        ("sagemaker list-endpoint", "no operation list-endpoint"),
        ("sagemaker describe-endpoint --name x", "no option .'name'."),
        ("sagemaker describe-endpoint --query x", "needs .'endpoint-name'."),
        ("cloudformation deploy --stack-nme x", "stack-nme"),
    ],
)
def test_a_wrong_command_is_found(command: str, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        aws_commands.check(command.split())


@pytest.mark.parametrize(
    "command", ["sagemaker describe-endpoint --endpoint-name x --output text", "s3 mb s3://bucket --region us-east-1"]
)
def test_a_right_command_is_not(command: str) -> None:
    aws_commands.check(command.split())
