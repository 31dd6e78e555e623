"""Parameters that say where the champion is: the model that a new one would replace."""

from __future__ import annotations

from pydantic import Field, field_validator

from ncf.parameters import Parameters
from ncf.sagemaker.hosting.settings import checked_endpoint_name
from ncf.sagemaker.registry.names import check_group


class ChampionSettings(Parameters):
    """Where the champion is looked for, the endpoint first."""

    champion_endpoint: str = Field(
        "", description="SageMaker endpoint that hosts the champion; '', or if it serves none: see 'champion_group'"
    )
    champion_group: str = Field(
        "",
        description="Model package group whose live package is the champion, or else its latest approved package; '': "
        "none",
    )

    @field_validator("champion_endpoint")
    @classmethod
    def _is_endpoint_name(cls, value: str) -> str:
        return checked_endpoint_name(value)

    @field_validator("champion_group")
    @classmethod
    def _is_group(cls, value: str) -> str:
        return check_group(value) if value else value
