"""The manifest of the watcher: what Kubernetes starts is a command that the image has, with few permissions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

import pipeline
from components.cluster import watcher
from components.cluster.permissions import template
from ncf.stage.parsing import parse
from ncf.watching.watch import Watch

FILE = pipeline.ROOT / "components" / "cluster" / watcher.FILE_NAME


def manifests() -> dict[str, Any]:
    return {entry["kind"]: entry for entry in yaml.safe_load_all(FILE.read_text())}


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = manifests()["Deployment"]["spec"]["template"]["spec"]
    return spec


def test_the_committed_file_is_current() -> None:
    assert list(manifests().values()) == watcher.manifests()


def test_the_command_is_one_of_the_image(tmp_path: Path) -> None:
    (container,) = pod()["containers"]
    python, option, package, name, *flags = container["command"]
    assert (python, option, package, name) == ("python", "-m", "ncf", "watch")
    assert "/ncf-sagemaker:" in container["image"]
    variables = {entry["name"] for entry in container["env"]}
    assert {variable for flag in flags for variable in re.findall(r"\$\((\w+)\)", flag)} < variables
    values = {"QUEUE": "https://sqs/q", "DEAD_LETTERS": "https://sqs/d", "NOTIFY": ""}
    given = [re.sub(r"\$\((\w+)\)", lambda found: values[found[1]], flag) for flag in flags]
    stage = parse(Watch, given)
    assert isinstance(stage, Watch)
    assert stage.rules in [
        Path(mount["mountPath"]) / item["path"]
        for mount in container["volumeMounts"]
        for volume in pod()["volumes"]
        if volume["name"] == mount["name"]
        for item in volume.get("configMap", {}).get("items", [])
    ]
    port = stage.health_port
    for probe in ("livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": port}


def test_the_token_of_kfp_is_where_the_watcher_looks_for_it() -> None:
    from ncf.kfp_api.runs import POD_TOKEN

    (container,) = pod()["containers"]
    (volume,) = [volume for volume in pod()["volumes"] if "projected" in volume]
    (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == volume["name"]]
    source = volume["projected"]["sources"][0]["serviceAccountToken"]
    assert f"{mount['mountPath']}/{source['path']}" == POD_TOKEN
    assert source["audience"] == "pipelines.kubeflow.org"


def test_its_account_may_create_runs_and_nothing_that_changes_pipelines() -> None:
    found = manifests()
    account = found["ServiceAccount"]["metadata"]["name"]
    assert pod()["serviceAccountName"] == account
    assert found["RoleBinding"]["subjects"] == [{"kind": "ServiceAccount", "name": account}]
    trust = template()["Resources"]["WatcherRole"]["Properties"]["AssumeRolePolicyDocument"]["Fn::Sub"]
    assert f"system:serviceaccount:${{Namespace}}:{account}" in trust
    for rule in found["Role"]["rules"]:
        assert rule["apiGroups"] == ["pipelines.kubeflow.org"]
        assert not {"delete", "update", "patch", "*"} & set(rule["verbs"])
        if rule["resources"] != ["runs"] and rule["resources"] != ["experiments"]:
            assert set(rule["verbs"]) == {"get", "list"}


def test_it_is_restricted() -> None:
    (container,) = pod()["containers"]
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"]
    assert security["runAsNonRoot"]
    assert not security["allowPrivilegeEscalation"]
