"""What ``ncf approve`` and ``ncf reject`` share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator
from pydantic_settings import CliPositionalArg

from ncf.aws.settings import AwsAccess
from ncf.console_text import say
from ncf.sagemaker.registry.properties import MAX_NOTE_LENGTH, as_note
from ncf.stage.declaration import Stage

if TYPE_CHECKING:
    from ncf.aws.session import Aws
    from ncf.sagemaker.registry.package import Package


class Deciding(Stage, AwsAccess):
    """A command that sets the approval status of a package."""

    calls = (
        "ncf.aws.session",
        "ncf.sagemaker.hosting.deployed_model",
        "ncf.sagemaker.hosting.live",
        "ncf.sagemaker.registry.approval",
        "ncf.sagemaker.registry.package",
    )
    status: ClassVar[str]

    package: CliPositionalArg[str] = Field(
        min_length=1, description="Model package: ARN, GROUP/VERSION, or GROUP for its latest version"
    )
    note: str = Field(
        max_length=MAX_NOTE_LENGTH, description="Reason of the decision, which the package keeps with your identity"
    )

    @field_validator("note")
    @classmethod
    def _says_why(cls, value: str) -> str:
        if not as_note(value):
            raise ValueError("expected the reason of the decision")
        return value

    def run(self) -> None:
        from ncf.aws.errors import RefusedError
        from ncf.aws.session import Aws
        from ncf.sagemaker.registry.approval import decide
        from ncf.sagemaker.registry.decision import change_after_approval, decision_of
        from ncf.sagemaker.registry.package import find

        aws = Aws(self)
        package = find(aws, self.package)
        before, change = decision_of(package), change_after_approval(package)
        if package.status == self.status and not change:
            say(f"{package.name} is {self.status} already, since {before}; nothing is changed")
        else:
            self.check(package)
            if change:
                say(change)
            elif before:
                say(f"{package.name} was {package.status} before, since {before}")
            made = decide(aws, package, self.status, self.note)
            say(f"{package.name} is {self.status}, since {made}")
        try:
            for sentence in self.remarks(aws, package):
                say(sentence)
        except RefusedError as error:  # the decision stands
            say(f"where it is live is not known: {error}")

    def check(self, package: Package) -> None:
        """
        Raises:
            InputError: if the status makes no sense for the package.
        """

    @abstractmethod
    def remarks(self, aws: Aws, package: Package) -> Iterator[str]:
        """What follows from the status, in sentences."""
