"""The workflow, the manifests and the scripts: each refers to what is there, and says the same as the others."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import Any

import kubernetes.client
import pytest
import yaml

from tests.kind.conftest import KIND, ROOT

WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "kubeflow.yml").read_text())
MANIFESTS = list(yaml.safe_load_all((KIND / "stand-in.yaml").read_text()))
RUN = (KIND / "run").read_text()
MODELS = {"Secret": "V1Secret", "Service": "V1Service", "Deployment": "V1Deployment"}


def unknown_fields(value: Any, kind: str, path: str = "") -> list[str]:
    """Fields of a manifest that Kubernetes' own models do not have."""
    if listed := re.fullmatch(r"list\[(.+)\]", kind):
        return [
            bad for index, entry in enumerate(value) for bad in unknown_fields(entry, listed[1], f"{path}[{index}]")
        ]
    model = getattr(kubernetes.client, kind, None)
    if model is None or not isinstance(value, dict):
        return []
    kinds = {model.attribute_map[name]: of for name, of in model.openapi_types.items()}
    bad = [f"{path}.{name}" for name in value if name not in kinds]
    return bad + [
        more
        for name, of in kinds.items()
        if name in value
        for more in unknown_fields(value[name], of, f"{path}.{name}")
    ]


def manifest(kind: str) -> dict[str, Any]:
    (found,) = [content for content in MANIFESTS if content["kind"] == kind]
    return dict(found)


def container() -> dict[str, Any]:
    (only,) = manifest("Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(only)


def test_the_script_is_bash_and_executable() -> None:
    assert os.access(KIND / "run", os.X_OK)
    subprocess.run(["bash", "-n", str(KIND / "run")], check=True)


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck_has_nothing_to_say() -> None:
    subprocess.run(["shellcheck", str(KIND / "run")], check=True)


def test_the_workflow_calls_the_script_and_does_nothing_else() -> None:
    steps = WORKFLOW["jobs"]["run"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == ['.github/kind/run "$VERSION"']
    assert [step["uses"].partition("@")[0] for step in steps if "uses" in step] == [
        "actions/checkout",
        "actions/setup-python",
        "actions/upload-artifact",
    ]


def test_the_workflow_runs_weekly_and_by_hand_on_the_same_releases() -> None:
    triggers = WORKFLOW[True]  # YAML 1.1 reads the key 'on' as a truth value
    assert set(triggers) == {"workflow_dispatch", "schedule"}
    default = triggers["workflow_dispatch"]["inputs"]["versions"]["default"]
    matrix = WORKFLOW["jobs"]["run"]["strategy"]["matrix"]["version"]
    assert matrix == f"${{{{ fromJSON(inputs.versions || '{default}') }}}}"
    versions = yaml.safe_load(default)
    older = [version for version in versions if int(version.split(".")[1]) < 14]
    assert 0 < len(older) < len(versions), "each form is run"


@pytest.mark.parametrize("content", MANIFESTS, ids=lambda content: content["kind"])
def test_manifests_have_only_fields_that_kubernetes_knows(content: dict[str, Any]) -> None:
    assert not unknown_fields(content, MODELS[content["kind"]], content["kind"])
    assert content["metadata"] == {"name": "ncf-aws", "namespace": "kubeflow"}


def test_the_check_of_fields_finds_what_is_misspelt() -> None:
    assert unknown_fields({"spec": {"template": {"spec": {"container": []}}}}, "V1Deployment") == [
        ".spec.template.spec.container"
    ]


def test_the_service_leads_to_the_port_at_which_the_stand_in_listens() -> None:
    service, template = manifest("Service")["spec"], manifest("Deployment")["spec"]["template"]
    assert service["selector"] == template["metadata"]["labels"]
    (port,) = [entry["port"] for entry in service["ports"]]
    command = container()["command"]
    assert command[command.index("--port") + 1] == str(port)
    assert f"forward ncf-aws {port}\n" in RUN
    assert f"http://ncf-aws.kubeflow.svc.cluster.local:{port}" in RUN


def test_the_pod_has_the_key_and_runs_as_any_careful_cluster_asks() -> None:
    assert container()["envFrom"] == [{"secretRef": {"name": "ncf-aws"}}]
    assert set(manifest("Secret")["stringData"]) == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert manifest("Deployment")["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"]
    assert re.search(r"^USER \d+:\d+$", (KIND / "Dockerfile").read_text(), re.M), "Kubernetes cannot look a name up"
    command = container()["command"]
    assert container()["readinessProbe"]["exec"]["command"][-1] == f"{command[command.index('--folder') + 1]}/ready"


def test_the_script_uses_the_image_and_the_bucket_of_the_manifest() -> None:
    image, command = container()["image"], container()["command"]
    assert f"docker build --quiet --tag {image} " in RUN
    assert f'kind load docker-image --name "$cluster" {image}' in RUN
    bucket = command[command.index("--bucket") + 1]
    assert set(re.findall(r"s3://([^/]+)/", RUN)) == {bucket}
    assert "COPY stand_in.py /opt/ncf/\n" in (KIND / "Dockerfile").read_text()
    assert command[:2] == ["python", "/opt/ncf/stand_in.py"]


def test_parameters_that_are_submitted_are_the_pipelines() -> None:
    known = yaml.safe_load((ROOT / "pipeline.yaml").read_text())["root"]["inputDefinitions"]["parameters"]
    required = {name for name, entry in known.items() if not entry.get("isOptional")}
    given = set(re.findall(r"[ \"]([a-z]+_[a-z0-9_]+)=(?!\()", RUN))
    assert given <= set(known)
    assert required <= given
