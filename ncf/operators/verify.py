"""``ncf verify``: whether a model is what its manifest says."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field
from pydantic_settings import CliPositionalArg

from ncf.aws.settings import AwsAccess
from ncf.console_text import say
from ncf.errors import InputError
from ncf.stage.declaration import Stage
from ncf.storage import is_s3

if TYPE_CHECKING:
    from ncf.operators.verification.chain import Model
    from ncf.operators.verification.findings import Findings
    from ncf.sagemaker.registry.package import Package

_ON_GPU = (
    "it was fitted on a GPU, where sums in another order give other bytes; its origin is shown by the fingerprints, "
    "its weights are not"
)


class Verify(Stage, AwsAccess):
    """Check that a model is what its manifest says, by its chain of fingerprints and by a new fit.

    Of a model package, the fingerprints that it records are checked too. The files are compared with the manifest, and
    the fingerprints of samples and data set with those that the manifest names. With 'data' the data set is prepared
    again. Then the model is fitted again with the recorded settings, and the weights are compared byte by byte. Exit
    status: 0 for the same bytes, 1 for a difference, 2 for invalid input, 3 if nothing differs but the weights cannot
    be compared.
    """

    calls = ("ncf.storage", "ncf.aws.session", "ncf.sagemaker.registry.package")

    read_too = ("data", "items", "dataset", "samples", "warm_start")

    model: CliPositionalArg[str] = Field(
        min_length=1,
        description="Model: folder or archive, path or S3 URI; or model package: ARN, GROUP/VERSION or GROUP",
    )
    data: str = Field("", description="Path or S3 URI of the raw interactions, to prepare the data set again")
    items: str = Field("", description="Path or S3 URI of the titles; '': beside the interactions")
    dataset: str = Field("", description="Data set, path or S3 URI; '': where the manifest of the model says")
    samples: str = Field("", description="Samples, path or S3 URI; '': where the manifest of the model says")
    warm_start: str = Field(
        "", description="Earlier model that the fit started from, path or S3 URI; '': where the manifest says"
    )

    def run(self) -> None:
        from ncf.operators.verification.chain import check_package, opened
        from ncf.operators.verification.findings import STATUSES, Findings

        findings = Findings()
        package = self._package()
        location = package.model_in_s3() if package else self.model
        with tempfile.TemporaryDirectory(prefix="ncf-") as scratch, opened(location, findings) as model:
            if package:
                check_package(package, model, findings)
            if not findings.differences:
                self._compare(model, Path(scratch), findings)
        if findings.verdict == "same":
            say("same bytes")
        elif findings.verdict == "different":
            say(f"different: {findings.differences[0]}")
        else:
            say(f"nothing differs, but this was not compared: {'; '.join(findings.unknown)}")
        raise SystemExit(STATUSES[findings.verdict])

    def _package(self) -> Package | None:
        """The model package that is named; None for a path or an S3 URI.

        Raises:
            InputError: if there is neither a file nor a package of this name.
        """
        if is_s3(self.model) or Path(self.model).exists():
            return None
        if self.model.startswith(("/", ".", "~")):
            raise InputError(f"{self.model}: no such file or folder")

        from ncf.aws.session import Aws
        from ncf.sagemaker.registry.package import find

        try:
            return find(Aws(self), self.model)
        except InputError as error:
            raise InputError(f"{self.model}: no such file or folder, and no model package: {error}") from None

    def _compare(self, model: Model, scratch: Path, findings: Findings) -> None:
        from ncf.artifacts import manifest
        from ncf.operators.verification.chain import LINKS, inputs

        with inputs(model, {name: getattr(self, name) for name in LINKS}, findings) as found:
            if self.data:
                self._prepare(model, found, scratch, findings)
            if "dataset" in found and "samples" not in found and not findings.differences:
                self._sample(model, found, scratch, findings)
            if findings.differences:
                return
            needed = ["dataset", "samples", *(["warm_start"] if model.provenance.warm_start else [])]
            if missing := [name for name in needed if name not in found]:
                where = " and ".join(f"--{name.replace('_', '-')}" for name in missing)
                findings.cannot_tell("weights", f"a new fit needs {where}, or --data")
            elif model.provenance.machine.get("device") == "cuda":
                findings.cannot_tell("weights", _ON_GPU)
            elif not model.provenance.machine:
                findings.cannot_tell("weights", f"{manifest.FILE_NAME} names no machine: an earlier version wrote it")
            else:
                self._fit(model, found, scratch, findings)

    def _prepare(self, model: Model, found: dict[str, Path], scratch: Path, findings: Findings) -> None:
        """Prepare the data set again and compare it; it stands in for one that is not there."""
        from ncf.artifacts import manifest
        from ncf.artifacts.provenance import Provenance
        from ncf.operators.verification.again import prepare
        from ncf.operators.verification.causes import other_code, other_lists
        from ncf.operators.verification.chain import other_raw_data

        made = prepare(self.data, self.items, model.recorded_values("dataset", "parameters"), scratch)
        content = manifest.read(made, "dataset")
        known = manifest.read(found["dataset"], "dataset") if "dataset" in found else None
        raw = other_raw_data(model, content, known)
        if raw:
            findings.differs("raw data", f"other data: {raw}")
        else:
            findings.same("raw data", f"the bytes that the data set was read from, {model.provenance.raw[:12]}")
        if manifest.fingerprint(content) == model.provenance.fingerprint:
            findings.same("preparation", "the same bytes of the data set, prepared again")
            found.setdefault("dataset", made)
        elif not raw and (lists := other_lists(model.recorded_values("dataset"), content)):
            findings.cannot_tell("preparation", lists)
        else:
            code = other_code(model.provenance, Provenance.of(content))
            cause = "the raw data" if raw else code or "the parameters in the manifest"
            findings.differs("preparation", f"another data set, prepared again; likely cause: {cause}")

    def _sample(self, model: Model, found: dict[str, Path], scratch: Path, findings: Findings) -> None:
        """Draw the samples again, which are not there."""
        from ncf.artifacts import manifest
        from ncf.operators.verification.again import sample

        made = sample(found["dataset"], model.recorded_values("sampling"), scratch)
        if manifest.fingerprint(manifest.read(made, "samples")) == model.provenance.samples:
            findings.same("samples", "the same bytes, drawn again")
            found["samples"] = made
        else:
            findings.differs("samples", "others, drawn again; likely cause: code, or the parameters in the manifest")

    def _fit(self, model: Model, found: dict[str, Path], scratch: Path, findings: Findings) -> None:
        """Fit the model again and compare it."""
        from ncf.artifacts import manifest
        from ncf.artifacts.model_folder import KIND, ModelFolder
        from ncf.artifacts.provenance import Provenance
        from ncf.operators.verification.again import fit
        from ncf.operators.verification.causes import likely_causes, other_code
        from ncf.operators.verification.comparison import compared_weights, other_files

        again = fit(found, model.content["parameters"], model.recorded_values("machine"), scratch)
        here = Provenance.of(manifest.read(again, KIND))
        causes = "; likely cause: " + "; ".join(likely_causes(model.provenance, here))
        for name, difference in compared_weights(ModelFolder.load(model.folder), ModelFolder.load(again)):
            if difference:
                findings.differs(name, difference + causes)
            else:
                findings.same(name, "the same bytes, fitted again")
        if names := other_files(model.folder, again):
            findings.differs("other files", ", ".join(names) + causes)
        elif not findings.differences and (code := other_code(model.provenance, here)):
            findings.same("code", f"other code gives the same bytes; {code}")
