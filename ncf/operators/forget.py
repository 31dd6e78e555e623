"""``ncf forget``: users whose interactions are left out from now on, and the locations where they still are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from ncf.aws.settings import AwsAccess
from ncf.console_text import say
from ncf.errors import InputError
from ncf.stage.declaration import Stage, check_location
from ncf.storage import is_s3, list_objects

_FOUND = 1


class Forget(Stage, AwsAccess):
    """Leave users out of all further data sets, or search for them.

    With 'forgotten_uri', salted hashes of the users are added to the lists there. Runs with the pipeline's parameter
    'data_forgotten_uri' leave their interactions out; without 'users' an empty list is written, for such runs to begin
    with. With 'scan', files at these locations are searched for the users: the exit status is 1 if any are found.
    """

    calls = ("ncf.storage", "ncf.aws.session", "ncf.sagemaker.registry.package")

    read_too = ("users",)

    users: str = Field("", description="File of user ids, one a line, path or S3 URI")
    forgotten_uri: str = Field("", description="Folder or S3 prefix of the lists, beside the pipeline's artifacts")
    scan: list[str] = Field(
        [],
        description="Places to search: files, folders or S3 URIs of data sets, models, archives of models, tables, "
        "results of batches and captured requests; or a model package group, for the models of all its versions",
    )

    @field_validator("forgotten_uri")
    @classmethod
    def _is_location(cls, value: str) -> str:
        if value:
            check_location("forgotten_uri", value)
        return value

    @field_validator("scan")
    @classmethod
    def _are_locations(cls, values: list[str]) -> list[str]:
        for value in values:
            check_location("scan", value)
        return values

    @model_validator(mode="after")
    def _has_one_task(self) -> Forget:
        if bool(self.forgotten_uri) == bool(self.scan):
            given = "both are given" if self.scan else "neither is given"
            raise ValueError(f"'forgotten_uri' or 'scan' is required, one of them: {given}")
        if self.scan and not self.users:
            raise ValueError("'scan' needs the parameter 'users'")
        return self

    def run(self) -> None:
        from ncf.operators.forgetting.lists import users_in

        users = users_in(self.users) if self.users else frozenset[str]()
        if self.scan:
            self._search(users)
        else:
            self._add(users)

    def _add(self, users: frozenset[str]) -> None:
        from ncf.operators.forgetting.lists import add

        added = add(self.forgotten_uri, users)
        known = f", {added.known:,} were there" if added.known else ""
        say(f"{self.forgotten_uri}: {added.users:,} users added{known}; {added.total:,} in all")
        say(
            "An exact new fit without them is a run of the pipeline with the parameters of the last one, without a "
            f"warm start, and with --param data_forgotten_uri={self.forgotten_uri}"
        )

    def _search(self, users: frozenset[str]) -> None:
        from ncf.operators.forgetting.scan import search

        searched = holding = unread = 0
        for location, owner in self._locations():
            if owner and not _has_model(location, owner):
                continue
            for file in search(location, users):
                searched += 1
                name = f"{owner}{file.name}"
                if file.fault:
                    unread += 1
                    say(f"unread  {name}: {file.fault}")
                elif file.users:
                    holding += 1
                    say(f"found   {name}: {file.users:,} of {len(users):,} users")
        say(f"{holding:,} of {searched:,} files hold users of the list; {unread:,} could not be read")
        if holding:
            raise SystemExit(_FOUND)
        if unread:
            raise InputError(f"{unread:,} files could not be read, so it is not known whether they hold these users")

    def _locations(self) -> Iterator[tuple[str, str]]:
        """Paths and URIs to search, each with the package that it is the model of: ``ncf version 3 (Approved): ``."""
        for location in self.scan:
            if is_s3(location) or Path(location).exists() or location.startswith(("/", ".", "~")):
                yield location, ""
                continue

            from ncf.aws.session import Aws
            from ncf.sagemaker.registry.package import packages

            try:
                versions = list(packages(Aws(self), location))
            except InputError as error:
                raise InputError(f"{location}: no such file or folder, and no model package group: {error}") from None
            if not versions:
                raise InputError(f"{location}: no such file or folder, and no model package group with versions")
            for package in versions:
                yield package.model_in_s3(), f"{package.name} ({package.status}): "


def _has_model(uri: str, owner: str) -> bool:
    """Whether the model of a package is still there."""
    if list_objects(uri):
        return True
    say(f"gone    {owner}{uri}: deleted")
    return False
