"""``ncf approve``: a package that may be released."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ncf.errors import InputError
from ncf.operators.deciding import Deciding
from ncf.sagemaker.registry.names import APPROVED
from ncf.sagemaker.registry.properties import CLOSED, GATE, RELEASE
from ncf.sagemaker.registry.settings import NEVER

if TYPE_CHECKING:
    from ncf.aws.session import Aws
    from ncf.sagemaker.registry.package import Package


class Approve(Deciding):
    """Approve a model package, so that the release pipeline deploys it.

    The package keeps your identity, the time, the note and a fingerprint of what you approve. A package that was
    rejected may be approved; the command says why it was rejected. Of an approved package nothing is changed, unless it
    is no longer what was approved.
    """

    status = APPROVED

    def check(self, package: Package) -> None:
        if package.properties.get(RELEASE) == NEVER:
            raise InputError(
                f"{package.name} was registered with release={NEVER}: it is a record, which the release pipeline "
                "refuses; expected a package of a run with another value"
            )

    def remarks(self, aws: Aws, package: Package) -> Iterator[str]:
        from ncf.sagemaker.hosting.live import live_endpoints

        gate = package.properties.get(GATE, "")
        if gate.startswith(CLOSED):
            yield f"the gate of its run was {gate}"
        if endpoints := live_endpoints(aws).get(package.arn, ()):
            yield f"it is live on endpoint {', '.join(endpoints)}"
        else:
            yield f"the release pipeline deploys it, with package={package.arn}"
