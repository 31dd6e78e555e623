"""``ncf reject``: a package that must not be released."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ncf.operators.deciding import Deciding
from ncf.sagemaker.registry.names import REJECTED

if TYPE_CHECKING:
    from ncf.aws.session import Aws
    from ncf.sagemaker.registry.package import Package


class Reject(Deciding):
    """Reject a model package, so that the release pipeline refuses it.

    The package keeps your identity, the time and the note. A package that is live stays live: 'ncf rollback' takes it
    out of service.
    """

    status = REJECTED

    def remarks(self, aws: Aws, package: Package) -> Iterator[str]:
        from ncf.sagemaker.hosting.live import live_endpoints

        yield "the release pipeline refuses it"
        for endpoint in live_endpoints(aws).get(package.arn, ()):
            yield (
                f"WARNING: it stays live on endpoint {endpoint}, as a rejection takes no model out of service; "
                f"'ncf rollback {endpoint}' returns to the model before it"
            )
