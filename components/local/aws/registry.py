"""The Model Registry: model package groups and their versions.

Packages without a group are not implemented.
https://docs.aws.amazon.com/sagemaker/latest/dg/model-registry-version.html
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from components.local.aws.errors import ApiError, invalid
from components.local.aws.event_bus import EventBus
from components.local.aws.faults import Faults
from components.local.aws.jobs import is_within, page
from components.local.aws.tags import Tags

Request = Mapping[str, Any]
Answer = dict[str, Any]

_GROUP, _PACKAGE = "model-package-group", "model-package"
_PENDING, _APPROVED = "PendingManualApproval", "Approved"
_MAX_PROPERTIES = 50
_CHANGEABLE = (
    "ModelApprovalStatus",
    "ApprovalDescription",
    "InferenceSpecification",
    "SourceUri",
    "CustomerMetadataProperties",
)
"""Fields that UpdateModelPackage changes; the last one is merged."""
_MILLISECONDS = 1000
_FILLED_IN = ("ModelPackageGroupName", "ClientToken")


class ModelRegistry:
    """All groups and packages, and one method for each operation, of the same name.

    Args:
        arn: function that returns an ARN, given a kind and a name.
        tags: tags of the groups.
        faults: faults to inject. ``late`` hides the group from CreateModelPackage, and its newest version from the
            operations that describe, list and update.
        author: function that returns the caller as UserContext.
        bus: receives an event for each new package and each change of one.
    """

    def __init__(
        self,
        arn: Callable[[str, str], str],
        tags: Tags,
        faults: Faults,
        author: Callable[[], Answer],
        bus: EventBus,
    ) -> None:
        self._arn, self._tags, self._faults, self._author, self._bus = arn, tags, faults, author, bus
        self._lock = threading.RLock()
        self._groups: dict[str, Answer] = {}
        self._packages: dict[str, Answer] = {}
        self._last_versions: dict[str, int] = {}
        self._by_token: dict[tuple[str, str], str] = {}

    # groups

    def create_model_package_group(self, request: Request) -> Answer:
        name = request["ModelPackageGroupName"]
        arn = self._arn(_GROUP, name)
        with self._lock:
            if arn in self._groups:
                raise invalid(f"Model Package Group already exists: {arn}")
            self._tags.set(arn, request.get("Tags", []))
            self._last_versions[arn] = 0
            self._groups[arn] = {
                **{key: value for key, value in request.items() if key != "Tags"},
                "ModelPackageGroupArn": arn,
                "CreationTime": time.time(),
                "CreatedBy": self._author(),
                "ModelPackageGroupStatus": "Completed",
            }
        return {"ModelPackageGroupArn": arn}

    def describe_model_package_group(self, request: Request) -> Answer:
        with self._lock:
            return dict(self._group(request))

    def list_model_package_groups(self, request: Request) -> Answer:
        with self._lock:
            found = [
                {key: value for key, value in group.items() if key != "CreatedBy"} for group in self._groups.values()
            ]
        return _page("ModelPackageGroupSummaryList", "ModelPackageGroupName", found, request)

    def delete_model_package_group(self, request: Request) -> Answer:
        with self._lock:
            arn = self._group(request)["ModelPackageGroupArn"]
            if self._versions(arn):
                raise ApiError(
                    "ConflictException", f"Model Package Group cannot be deleted as it still contains versions: {arn}"
                )
            del self._groups[arn]
            self._tags.remove(arn)
        return {}

    # packages

    def create_model_package(self, request: Request) -> Answer:
        self._check_new(request)
        with self._lock:
            if self._faults.take("late", "CreateModelPackage"):
                raise _missing("ModelPackageGroup", self._group_arn(request))
            group = self._group(request)
            group_arn, token = group["ModelPackageGroupArn"], request.get("ClientToken", "")
            if token and (known := self._by_token.get((group_arn, token))):
                return {"ModelPackageArn": known}
            version = self._last_versions[group_arn] = self._last_versions[group_arn] + 1
            name = group["ModelPackageGroupName"]
            arn = f"{self._arn(_PACKAGE, name)}/{version}"
            self._packages[arn] = {
                "ModelApprovalStatus": _PENDING,
                **{key: value for key, value in request.items() if key not in _FILLED_IN},
                "ModelPackageName": name,
                "ModelPackageGroupName": name,
                "ModelPackageVersion": version,
                "ModelPackageArn": arn,
                "CreationTime": time.time(),
                "CreatedBy": self._author(),
                "ModelPackageStatus": "Completed",
                "ModelPackageStatusDetails": {"ValidationStatuses": []},
            }
            if token:
                self._by_token[group_arn, token] = arn
            self._announce(self._packages[arn])
        return {"ModelPackageArn": arn}

    def _announce(self, package: Answer, changed: Sequence[str] = ()) -> None:
        """Send the event of a new package, or of changed fields.

        https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
        """
        times = {
            key: int(package[key] * _MILLISECONDS) for key in ("CreationTime", "LastModifiedTime") if key in package
        }
        detail = {**package, **times, **({"UpdatedModelPackageFields": list(changed)} if changed else {})}
        self._bus.send("aws.sagemaker", "SageMaker Model Package State Change", [package["ModelPackageArn"]], detail)

    def _check_new(self, request: Request) -> None:
        if request.get("ModelPackageGroupName") and request.get("ModelPackageName"):
            raise invalid(
                "Both ModelPackageName and ModelPackageGroupName are provided in the input. Cannot determine which one "
                "to use."
            )
        if not request.get("ModelPackageGroupName"):
            raise invalid("ModelPackageGroupName is missing: packages without a group are not implemented here")
        if request.get("Tags"):
            raise invalid(
                "Tags are not supported in Model Package versions. Please add them to the Model Package Group."
            )

    def describe_model_package(self, request: Request) -> Answer:
        with self._lock:
            return dict(self._seen("DescribeModelPackage", request["ModelPackageName"]))

    def _seen(self, operation: str, name: str) -> Answer:
        """The package of a name, unless it is the newest of its group and this operation sees it late."""
        package = self.package(name)
        newest = self._versions(self._arn(_GROUP, package["ModelPackageGroupName"]))[-1]
        if package is newest and self._faults.take("late", operation):
            raise _missing("ModelPackage", package["ModelPackageArn"])
        return package

    def list_model_packages(self, request: Request) -> Answer:
        if not request.get("ModelPackageGroupName"):
            return {"ModelPackageSummaryList": []}  # packages without a group
        keys = (
            "ModelPackageGroupName",
            "ModelPackageVersion",
            "ModelPackageArn",
            "ModelPackageDescription",
            "CreationTime",
            "ModelPackageStatus",
            "ModelApprovalStatus",
        )
        with self._lock:
            found = self._versions(self._group(request)["ModelPackageGroupArn"])
            if found and self._faults.take("late", "ListModelPackages"):
                found = found[:-1]
            shown = [{key: package[key] for key in keys if key in package} for package in found]
        status = request.get("ModelApprovalStatus")
        shown = [entry for entry in shown if status in (None, entry["ModelApprovalStatus"])]
        return _page("ModelPackageSummaryList", "ModelPackageGroupName", shown, request)

    def update_model_package(self, request: Request) -> Answer:
        arn = request["ModelPackageArn"]
        with self._lock:
            package = self._seen("UpdateModelPackage", arn)
            properties = {
                **package.get("CustomerMetadataProperties", {}),
                **request.get("CustomerMetadataProperties", {}),
            }
            for key in request.get("CustomerMetadataPropertiesToRemove", []):
                properties.pop(key, None)
            if len(properties) > _MAX_PROPERTIES:
                raise invalid(f"CustomerMetadataProperties: at most {_MAX_PROPERTIES} entries")
            package |= {key: request[key] for key in _CHANGEABLE[:-1] if key in request}
            package |= {"LastModifiedTime": time.time(), "LastModifiedBy": self._author()}
            package.pop("CustomerMetadataProperties", None)
            if properties:
                package["CustomerMetadataProperties"] = properties
            self._announce(package, [key for key in _CHANGEABLE if key in request])
        return {"ModelPackageArn": arn}

    def delete_model_package(self, request: Request) -> Answer:
        with self._lock:
            del self._packages[self.package(request["ModelPackageName"])["ModelPackageArn"]]
        return {}

    # for models

    def check_approved(self, name: str) -> None:
        """Check that a model may be created from a package.

        Raises:
            ApiError: if the package does not exist, is not approved, or does not have one container.
        """
        with self._lock:
            package = self.package(name)
            status = package["ModelApprovalStatus"]
            if status != _APPROVED:
                raise invalid(
                    f"Cannot create a model from {package['ModelPackageArn']}: its ModelApprovalStatus is {status}, "
                    f"and must be {_APPROVED}"
                )
            if (count := len(package.get("InferenceSpecification", {}).get("Containers", []))) != 1:
                raise invalid(
                    f"{package['ModelPackageArn']} has {count} containers: models of none cannot be created, and those "
                    "of several are not implemented here"
                )

    def resolved(self, container: Mapping[str, Any]) -> Answer:
        """A model's container, with the image and model data of the package that it names, if any.

        Raises:
            ApiError: if the package does not exist.
        """
        if not (name := container.get("ModelPackageName")):
            return dict(container)
        with self._lock:
            packaged = self.package(name)["InferenceSpecification"]["Containers"][0]
        environment = {**packaged.get("Environment", {}), **container.get("Environment", {})}
        return {**container, **packaged, "Environment": environment}

    # shared

    def package(self, name: str) -> Answer:
        """The package of an ARN, or of ``GROUP/VERSION``. The caller holds a lock.

        Raises:
            ApiError: if it does not exist.
        """
        arn = name if name.startswith("arn:") else self._arn(_PACKAGE, name)
        if arn not in self._packages:
            raise _missing("ModelPackage", arn)
        return self._packages[arn]

    def _group_arn(self, request: Request) -> str:
        name = request["ModelPackageGroupName"]
        return str(name) if name.startswith("arn:") else self._arn(_GROUP, name)

    def _group(self, request: Request) -> Answer:
        arn = self._group_arn(request)
        if arn not in self._groups:
            raise _missing("ModelPackageGroup", arn)
        return self._groups[arn]

    def _versions(self, group_arn: str) -> list[Answer]:
        """Packages of a group, the oldest first."""
        prefix = group_arn.replace(f":{_GROUP}/", f":{_PACKAGE}/", 1)
        return [package for arn, package in self._packages.items() if arn.rpartition("/")[0] == prefix]


def _missing(kind: str, arn: str) -> ApiError:
    return invalid(f"{kind} {arn} does not exist.")


def _page(key: str, name: str, entries: Sequence[Answer], request: Request) -> Answer:
    """One page of a sorted list, of the entries whose name and time fit."""
    by = {"Name": name}.get(request.get("SortBy", ""), "CreationTime")
    shown = [
        entry
        for entry in entries
        if request.get("NameContains", "") in entry[name] and is_within(entry["CreationTime"], "CreationTime", request)
    ]
    order = sorted(shown, key=lambda entry: (entry[by], entry.get("ModelPackageVersion", 0)))
    return page(key, order if request.get("SortOrder") == "Ascending" else order[::-1], request)
