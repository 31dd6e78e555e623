"""Commands of AWS's command line, checked against the service models of botocore."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import botocore.session
from botocore import xform_name

OWN = {
    "cloudformation deploy": {
        "stack-name",
        "template-file",
        "s3-bucket",
        "capabilities",
        "parameter-overrides",
    },
    "ecr get-login-password": set[str](),
    "s3 cp": {"recursive"},
    "s3 mb": set[str](),
}
"""Commands that are no operation of a service, and their options on our pages."""
_SERVICES = {"s3api": "s3"}
"""Names of services on the command line, where they differ."""
GLOBAL = {"output", "profile", "query", "cli-binary-format", "region"}
"""Options of every command."""


@cache
def _operations(service: str) -> dict[str, Any]:
    session = botocore.session.get_session()
    assert service in session.get_available_services(), f"there is no service {service}"
    model = session.get_service_model(service)
    return {xform_name(name, "-"): model.operation_model(name) for name in model.operation_names}


def check(arguments: Sequence[str]) -> None:
    """Check a command: service, operation, names of options, and that the required ones are given.

    Args:
        arguments: of ``aws``.

    Raises:
        AssertionError: that names what is wrong.
    """
    service, name, *rest = arguments
    given = {word.removeprefix("--") for word in rest if word.startswith("--")} - GLOBAL
    if f"{service} {name}" in OWN:
        assert given <= OWN[f"{service} {name}"], given
        return
    operations = _operations(_SERVICES.get(service, service))
    assert name in operations, f"{service} has no operation {name}"
    shape = operations[name].input_shape
    known = {xform_name(member, "-") for member in shape.members} if shape else set()
    required = {xform_name(member, "-") for member in shape.required_members} if shape else set()
    assert given <= known, f"{service} {name} has no option {sorted(given - known)}"
    assert required <= given, f"{service} {name} needs {sorted(required - given)}"
