"""Declaration of a stage: parameters, input artifacts and output artifacts are fields of one class.

From the fields come the KFP component (``components/factory.py``), the command line and the checks of what
arrives in the container (``ncf/stage/command.py``). Class variables say the rest: image, pod, extra and AWS calls.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NewType

from pydantic import Field, PrivateAttr, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ncf.errors import InputError
from ncf.parameters import Parameters
from ncf.stage.documentation import documentation
from ncf.stage.pod import Pod
from ncf.storage import is_s3, split_uri

FinalStatus = NewType("FinalStatus", str)
"""Type of the parameter by which KFP passes an exit handler the status of the run, as JSON."""

ArtifactKind = Literal["Artifact", "Dataset", "Model", "Metrics", "HTML", "Markdown"]
OUTPUT_FOLDER = "output"
LAUNCHER = "sagemaker"
"""Image and extra of stages that need no package beside boto3: most of them start a job or endpoint and watch it."""
_FOLDERS: tuple[ArtifactKind, ...] = ("Dataset", "Model")
_SUFFIXES: Mapping[str, str] = {"Metrics": ".json", "HTML": ".html", "Markdown": ".md"}


@dataclass(frozen=True)
class Role:
    """Role of a field: an input artifact, an output artifact or an output parameter."""

    kind: Literal["input", "output", "output parameter"]
    artifact: ArtifactKind = "Artifact"
    type: type = str
    optional: bool = False

    @property
    def is_folder(self) -> bool:
        """Whether a stage writes a folder there."""
        return self.artifact in _FOLDERS and self.kind != "output parameter"

    @property
    def suffix(self) -> str:
        return _SUFFIXES.get(self.artifact, ".txt" if self.kind == "output parameter" else "")


def Input(artifact: ArtifactKind, description: str, optional: bool = False) -> Any:
    """An input artifact: a field of type ``str``, a local path or an S3 URI; '' where an optional one is not given."""
    extra = _extra(Role("input", artifact, optional=optional))
    default: Any = "" if optional else ...
    return Field(default=default, description=description, json_schema_extra=extra)


def Output(artifact: ArtifactKind, description: str) -> Any:
    """An output artifact: a field of type ``Path``; ``run()`` writes a file or a folder there."""
    return Field(default=Path(), description=description, json_schema_extra=_extra(Role("output", artifact)))


def OutputParameter(type_: type, description: str) -> Any:
    """An output parameter of a scalar type: a field of type ``Path``; ``run()`` writes the value there as text."""
    role = Role("output parameter", type=type_)
    return Field(default=Path(), description=description, json_schema_extra=_extra(role))


def _extra(role: Role) -> dict[str, Any]:
    return {"role": role}


def role_of(field: FieldInfo) -> Role | None:
    """The role of a field, or None for a parameter."""
    extra = field.json_schema_extra
    role = extra.get("role") if isinstance(extra, dict) else None
    return role if isinstance(role, Role) else None


def _with_bounds(field: FieldInfo) -> str:
    """A parameter's description with its bounds behind it: ``Share of units dropped (0 <= value < 1)``."""
    description = field.description or ""
    limits = {type(limit).__name__: limit for limit in field.metadata}
    low = [f"{getattr(limits[n], n.lower())} {sign} " for n, sign in (("Ge", "<="), ("Gt", "<")) if n in limits]
    high = [f" {sign} {getattr(limits[n], n.lower())}" for n, sign in (("Le", "<="), ("Lt", "<")) if n in limits]
    bounds = "".join(["(", *low, "value", *high, ")"])
    return description if not (low or high) or description.endswith(bounds) else f"{description} {bounds}"


@dataclass(frozen=True)
class Alternative:
    """A flag with which a command is another one.

    Attributes:
        flag: the flag.
        value: what help calls its value.
        command: the other command.
        description: of the flag, for help.
    """

    flag: str
    value: str
    command: str
    description: str


class Stage(Parameters, BaseSettings):
    """Base of all stages. The docstring of a subclass is its description wherever it is shown."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), arbitrary_types_allowed=True
    )

    name: ClassVar[str]
    """The stage's name with underscores: ``negative_sampling``."""

    image: ClassVar[str]
    """Folder of ``images/`` whose image the pod runs: the stage's own name, unless the class says otherwise."""

    extra: ClassVar[str]
    """Extra of pyproject.toml that the image installs: named as the image, unless the class says otherwise."""

    pod: ClassVar[Pod] = Pod()
    """Resources of the pod."""

    calls: ClassVar[tuple[str, ...]] = ()
    """Modules whose AWS calls the stage makes: the pods' IAM role allows what their ``CALLS`` name."""

    default_images: ClassVar[Mapping[str, str]] = {}
    """Parameters whose default is an image of this project, and the folder of each image."""

    read_too: ClassVar[tuple[str, ...]] = ()
    """Parameters that name a path to read, beside the input artifacts: no output may be written over it."""

    alternative: ClassVar[Alternative | None] = None
    """The flag with which the command is another one."""

    _uris: dict[str, str] = PrivateAttr(default_factory=dict)
    _pipeline_run: str = PrivateAttr("")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__doc__ = documentation(cls)
        cls.name = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
        cls.image = cls.__dict__.get("image", cls.name)
        cls.extra = cls.__dict__.get("extra", cls.image.replace("_", "-"))

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for field_name in cls.outputs():
            field = cls.model_fields[field_name]
            suffix = role.suffix if (role := role_of(field)) else ""
            field.default = Path(OUTPUT_FOLDER) / cls.name / f"{field_name}{suffix}"
        for field in cls.parameters().values():
            field.description = _with_bounds(field)
        cls.model_rebuild(force=True)

    @model_validator(mode="before")
    @classmethod
    def _paths_are_given(cls, values: Any) -> Any:
        """Refuse empty paths: an unset shell variable leaves '', which is the working directory as a path."""
        for name, role in {**cls.inputs(), **cls.outputs()}.items():
            if name not in values:
                continue
            path = str(values[name])
            if not path.strip() and not (role.optional and not path):
                raise ValueError(f"parameter '{name}' is empty; expected a path")
            if name in cls.outputs() and is_s3(path):
                raise ValueError(
                    f"parameter '{name}' is '{path}', but outputs are written to this machine; "
                    "expected a path; copy its content to S3 afterwards"
                )
        for name in [name for name in (*cls.inputs(), *cls.read_too) if values.get(name)]:
            check_location(name, str(values[name]))
        return values

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments alone: an environment variable that happens to be called USER must not name a column."""
        return (init_settings,)

    @classmethod
    def command_name(cls) -> str:
        """The name on the command line, and of the KFP component: ``negative-sampling``."""
        return cls.name.replace("_", "-")

    @classmethod
    def inputs(cls) -> dict[str, Role]:
        return cls._with_role("input")

    @classmethod
    def outputs(cls) -> dict[str, Role]:
        """Output artifacts and output parameters."""
        return cls._with_role("output", "output parameter")

    @classmethod
    def parameters(cls) -> dict[str, FieldInfo]:
        return {name: field for name, field in cls.model_fields.items() if role_of(field) is None}

    @classmethod
    def _with_role(cls, *kinds: str) -> dict[str, Role]:
        roles = {name: role_of(field) for name, field in cls.model_fields.items()}
        return {name: role for name, role in roles.items() if role and role.kind in kinds}

    def parameter_values(self) -> dict[str, Any]:
        """The parameters as they are, JSON-ready: for manifests and reports."""
        return self.model_dump(mode="json", include=set(self.parameters()))

    def uri_of(self, artifact: str) -> str:
        """Where an artifact lies for services outside this pod: its KFP URI, else its path."""
        return self._uris.get(artifact, str(getattr(self, artifact)))

    def pipeline_run(self) -> str:
        """ID of the pipeline run that the pod belongs to; '' on a command line."""
        return self._pipeline_run

    def s3_region(self) -> str:
        """The region to call S3 in; '' for the environment's."""
        return str(getattr(self, "region", ""))

    def shares_outputs(self) -> bool:
        """Whether other processes of the same run have the same output paths."""
        return False

    @abstractmethod
    def run(self) -> Mapping[str, str] | None:
        """Do the stage's work: read the inputs, write **every** output to the path in its field.

        The paths are temporary siblings. The command moves them to the output paths when all are written.
        The numbers of a ``Metrics`` output (a JSON object) and the counts of a folder's manifest become KFP
        metadata.

        Returns:
            URI of each output that was written elsewhere, by name; None for none.

        Raises:
            InputError: for faults that the user can correct.
        """

    def published(self) -> None:
        """Clean up after the outputs are at their paths: checkpoints may be deleted."""


def check_location(name: str, location: str) -> None:
    """
    Raises:
        ValueError: if a parameter names what is neither a path nor in S3.
    """
    if not location.strip() or "\0" in location or ("://" in location and not is_s3(location)):
        raise ValueError(f"parameter '{name}' is {location!r}; expected an s3:// URI, or a path on this machine")
    try:
        _ = is_s3(location) and split_uri(location)
    except InputError as error:
        raise ValueError(f"parameter '{name}': {error}") from None


def check_one_given(stage: Stage, artifact: str, parameter: str) -> None:
    """Check that exactly one of an artifact and a parameter is given.

    Raises:
        ValueError: if neither or both are given.
    """
    given = [f"'{name}' is {value}" for name in (artifact, parameter) if (value := getattr(stage, name))]
    if len(given) != 1:
        found = " and ".join(given) or "neither is given"
        raise ValueError(f"'{artifact}' or '{parameter}' is required, one of them: {found}")
