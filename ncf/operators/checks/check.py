"""A check of ``ncf doctor``, and its possible results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ncf.aws.errors import DENIED, RefusedError
from ncf.errors import InputError, RemoteError

_NETWORK_ADVICE = "check the network: a proxy (HTTPS_PROXY), a firewall, a VPC endpoint of the service"

Verdict = Literal["ok", "FAILED", "skipped"]


class FailedError(Exception):
    """A check failed. The message names the cause and a remedy."""


class SkippedError(Exception):
    """A check could not be made. The message names the reason."""


@dataclass(frozen=True)
class Check:
    """One line of the output.

    Attributes:
        name: of the check.
        run: returns a description of what was found; raises :class:`FailedError` or :class:`SkippedError` otherwise.
        action: IAM action that the check calls; '' for none.
        by_hand: command or page that answers the same question for a user with that permission.
        needs_credentials: whether the check is skipped without valid AWS credentials.
    """

    name: str
    run: Callable[[], str]
    action: str = ""
    by_hand: str = ""
    needs_credentials: bool = True

    def result(self, has_credentials: bool) -> tuple[Verdict, str]:
        """Verdict and finding.

        Args:
            has_credentials: whether the AWS credentials are valid.
        """
        if self.needs_credentials and not has_credentials:
            return "skipped", "there are no valid credentials"
        try:
            return "ok", self.run()
        except SkippedError as reason:
            return "skipped", str(reason)
        except RefusedError as error:
            if error.code in DENIED:
                return "skipped", f"no permission for {self.action}; grant it, or check by hand: {self.by_hand}"
            return "FAILED", f"{error}; to check by hand: {self.by_hand}"
        except RemoteError as error:
            return "FAILED", f"{error}; {_NETWORK_ADVICE}"
        except (FailedError, InputError) as error:
            return "FAILED", str(error)
