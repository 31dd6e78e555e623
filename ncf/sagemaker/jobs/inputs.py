"""Inputs of a job of any image: artifacts of the pipeline, and S3 URIs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ncf.artifacts.regular_files import check_all_regular
from ncf.errors import InputError
from ncf.sagemaker.staging import Staging
from ncf.storage import is_s3, sha256, split_uri, upload


class Source(BaseModel):
    """Objects in S3 that a job reads, with the values of SageMaker's API.

    Attributes:
        uri: of the objects.
        data_type: ``S3Prefix`` or ``ManifestFile``.
        distribution: ``FullyReplicated``, or ``ShardedByS3Key`` for a part of the objects on each instance.
        content_type: of the objects; '' for none.
        compression: ``None`` or ``Gzip``; '' for the API's default.
        input_mode: ``File``, ``FastFile`` or ``Pipe``; '' for that of the job.
        path: folder in the container; '' for the usual one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    uri: str
    data_type: str = "S3Prefix"
    distribution: str = "FullyReplicated"
    content_type: str = ""
    compression: str = ""
    input_mode: str = ""
    path: str = ""

    def s3(self) -> dict[str, str]:
        """``S3DataSource`` of the API."""
        return {"S3Uri": self.uri, "S3DataType": self.data_type, "S3DataDistributionType": self.distribution}

    def channel(self) -> dict[str, Any]:
        """An input channel of a training job, without its name."""
        more = {
            "ContentType": self.content_type,
            "CompressionType": self.compression,
            "InputMode": self.input_mode,
        }
        return {"DataSource": {"S3DataSource": self.s3()}, **{key: value for key, value in more.items() if value}}


class Target(BaseModel):
    """Output of a processing job.

    Attributes:
        uri: that the files are written to.
        path: folder in the container; '' for the usual one.
        mode: ``EndOfJob``, or ``Continuous`` for files as they are written.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    uri: str
    path: str = ""
    mode: str = "EndOfJob"


def sources(given: Mapping[str, Any], *left_out: str) -> dict[str, Source]:
    """Sources of a parameter, by name. Each is an S3 URI, or an object with the fields of :class:`Source`.

    Args:
        given: value of the parameter.
        left_out: fields that do not apply.

    Raises:
        ValueError: that names the source at fault, and what is accepted.
    """
    return _parsed(given, Source, [name for name in Source.model_fields if name not in left_out])


def targets(given: Mapping[str, Any]) -> dict[str, Target]:
    """Targets of a parameter, by name. Each is an S3 URI, or an object with the fields of :class:`Target`.

    Raises:
        ValueError: as of :func:`sources`.
    """
    return _parsed(given, Target, list(Target.model_fields))


def _parsed(given: Mapping[str, Any], kind: type[Any], accepted: list[str]) -> dict[str, Any]:
    found = {}
    for name, value in given.items():
        fields = {"uri": value} if isinstance(value, str) else value
        try:
            if not isinstance(fields, Mapping) or set(fields) - set(accepted):
                raise ValueError("no such fields")
            found[name] = kind(**fields)
            split_uri(found[name].uri)
        except (ValueError, TypeError, ValidationError, InputError):
            raise ValueError(
                f"'{name}' is {value!r}; expected an S3 URI, or an object with the fields {', '.join(accepted)}"
            ) from None
    return found


@dataclass(frozen=True)
class InputArtifact:
    """An input artifact of a stage.

    Attributes:
        name: of the artifact.
        path: local path, or S3 URI.
        uri: of the artifact, in S3 or not.
    """

    name: str
    path: str
    uri: str

    def source(self, staging: Staging) -> Source:
        """The artifact in S3. A slash ends the URI of a folder, which would match longer names without it."""
        is_folder = not is_s3(self.path) and not Path(self.path).is_file()
        return Source(uri=f"{staging.uri(self.name, self.uri)}{'/' if is_folder else ''}")

    def identity(self) -> str:
        """What makes another job: the URI of an artifact in S3, else a digest of its files."""
        if is_s3(self.uri):
            return self.uri
        path = Path(self.path)
        files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
        if not files:
            raise InputError(f"parameter '{self.name}' is '{path}', where there are no files")
        content = "".join(f"{each.relative_to(path)}:{sha256(each)}\n" for each in files)
        return hashlib.sha256(content.encode()).hexdigest()

    def upload(self, staging: Staging) -> None:
        """Copy the artifact to S3, unless it is there."""
        if is_s3(self.uri):
            return
        if Path(self.path).is_dir():
            check_all_regular(Path(self.path))
        upload(Path(self.path), staging.uri(self.name, self.uri))


@dataclass(frozen=True)
class Inputs:
    """All inputs of a job.

    Attributes:
        artifacts: those that are given.
        others: further sources, by name.
    """

    artifacts: tuple[InputArtifact, ...]
    others: Mapping[str, Source]

    @classmethod
    def of(cls, names: Iterable[str], stage: Any, others: Mapping[str, Source]) -> Inputs:
        """Inputs of a stage.

        Args:
            names: of its input artifacts, each of which may be missing.
            stage: the stage.
            others: further sources, by name.

        Raises:
            InputError: if a name is given twice.
        """
        artifacts = tuple(
            InputArtifact(name, str(path), stage.uri_of(name)) for name in names if (path := getattr(stage, name))
        )
        if twice := sorted({artifact.name for artifact in artifacts} & set(others)):
            raise InputError(f"input '{twice[0]}' is given twice: as an artifact, and as {others[twice[0]].uri}")
        return cls(artifacts, others)

    def identity(self) -> dict[str, Any]:
        """What makes another job."""
        return {
            **{artifact.name: artifact.identity() for artifact in self.artifacts},
            **{name: source.model_dump() for name, source in self.others.items()},
        }

    def sources(self, staging: Staging) -> dict[str, Source]:
        """All of them in S3, by name."""
        return {artifact.name: artifact.source(staging) for artifact in self.artifacts} | dict(self.others)

    def uploader(self, staging: Staging) -> Callable[[], None]:
        """Function that copies to S3 what is not there."""

        def upload_all() -> None:
            for artifact in self.artifacts:
                artifact.upload(staging)

        return upload_all
