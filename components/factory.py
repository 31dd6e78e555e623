"""KFP container components and tasks, derived from stage classes."""

from __future__ import annotations

import inspect
import os
import re
import typing
from pathlib import Path
from typing import Any, Literal, Optional

from kfp import dsl
from kfp.dsl.base_component import BaseComponent
from kfp.dsl.structures import ResourceSpec
from pydantic.fields import FieldInfo

import ncf
from ncf.errors import InputError
from ncf.sagemaker.training.settings import JobSettings
from ncf.stage.declaration import FinalStatus, Stage
from ncf.stage.execution import UNCACHED
from ncf.stage.executor_input import EXECUTOR_INPUT, RUN_ID_PLACEHOLDER
from ncf.stage.registry import load_stage

DEFAULT_REGISTRY = "111122223333.dkr.ecr.us-east-1.amazonaws.com"
"""Registry of an AWS account reserved for documentation. ``make pipeline REGISTRY=...`` sets another one."""
# https://github.com/distribution/reference/blob/main/reference.go
_REGISTRY = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9.-]*(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
POD_COMMAND = ["python", "-m", "ncf"]
"""Command of a pod, before the name of its stage."""
_RUN_ID = "run_id"
"""Parameter of stages that act on behalf of a run. Its default is the run of the pipeline."""
REGISTRY_VARIABLE, TAG_VARIABLE = "NCF_REGISTRY", "NCF_TAG"


def image(name: str) -> str:
    """The image ``REGISTRY/ncf-<name>:TAG``. Registry and tag come from the environment, if set.

    Args:
        name: name of a folder in ``images``.
    """
    registry, tag = _registry_and_tag()
    return f"{registry}/ncf-{name.replace('_', '-')}:{tag}"


def _registry_and_tag() -> tuple[str, str]:
    return os.environ.get(REGISTRY_VARIABLE) or DEFAULT_REGISTRY, os.environ.get(TAG_VARIABLE) or ncf.__version__


def check_registry_and_tag() -> None:
    """Check the registry and the tag of the environment.

    Raises:
        InputError: if either is invalid in the name of an image.
    """
    registry, tag = _registry_and_tag()
    if not _REGISTRY.fullmatch(registry):
        raise InputError(
            f"registry: '{registry}' is invalid; expected one such as {DEFAULT_REGISTRY}, optionally with /FOLDER"
        )
    if not _TAG.fullmatch(tag):
        raise InputError(f"tag: '{tag}' is invalid; expected letters, digits and _.-, 128 at most")


def component(stage: type[Stage]) -> BaseComponent:
    """The KFP container component of a stage: ``python -m ncf STAGE --executor-input {{$}}``.

    The arguments hold no placeholders of parameters, because versions of KFP substitute omitted parameters differently.
    They hold the run ID instead, so that KFP's cache never applies: stages read sources that may change, or have side
    effects. The input artifact of negative-sampling has a new ID in each run anyway.

    Args:
        stage: class with the inputs, parameters, outputs and image of the component.
    """
    optional = [name for name, role in stage.inputs().items() if role.optional]
    arguments = [
        *(
            _argument(name, kind, **({"default": None} if name in optional else {}))
            for name, kind in _artifact_types(stage).items()
        ),
        *_parameters(stage),
    ]
    signature = inspect.Signature(sorted(arguments, key=lambda entry: entry.default is not inspect.Parameter.empty))
    pod_image = image(stage.image)

    def build(*_: Any) -> dsl.ContainerSpec:
        return dsl.ContainerSpec(
            image=pod_image,
            command=[*POD_COMMAND, stage.command_name()],
            args=[EXECUTOR_INPUT, dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER, UNCACHED, RUN_ID_PLACEHOLDER],
        )

    function: Any = build
    function.__name__ = stage.name
    function.__doc__ = _documentation(stage)
    function.__signature__ = signature
    function.__annotations__ = {name: entry.annotation for name, entry in signature.parameters.items()}
    made: BaseComponent = dsl.container_component(function)
    return made


def task(made: BaseComponent, **given: Any) -> Any:
    """A task of a component, with the CPU, memory and retries of its pod, and without caching.

    **Every** parameter is passed, defaults as constants: backends without support for optional parameters do not fill
    in defaults.

    Args:
        made: the component.
        given: arguments, by name.
    """
    inputs = made.component_spec.inputs or {}
    defaults = {name: entry.default for name, entry in inputs.items() if entry.optional and entry.default is not None}
    pod = load_stage(made.name).pod
    made_task = made(**{**defaults, **given})
    # not by the task's setters, each of which reads the source of all callers; the requests default to the limits
    made_task.container_spec.resources = ResourceSpec(cpu_limit=pod.cpu, memory_limit=pod.memory)
    made_task.container_spec.env = dict(pod.environment) or None
    if pod.retries:
        made_task.set_retry(
            num_retries=pod.retries, backoff_duration="30s", backoff_factor=2.0, backoff_max_duration=_retries_end()
        )
    made_task.set_caching_options(False)
    return made_task


def _retries_end() -> str:
    """Maximum time for retries of a pod, in seconds, such as ``100s``.

    Argo measures it from the start of the first attempt; 0 disables retries. It exceeds the longest stage: the maximum
    run time of train over all its attempts, plus a day.
    """
    longest_job = max(_bound("max_run_time"), _bound("max_wait_time"))
    return f"{_bound('max_attempts') * longest_job + 86_400}s"


def _bound(parameter: str) -> int:
    """Upper bound of a parameter of training jobs."""
    limits = JobSettings.model_fields[parameter].metadata
    return next(int(limit.le) for limit in limits if hasattr(limit, "le"))


def default(stage: type[Stage], parameter: str) -> Any:
    """The default of a stage's parameter, in KFP's types."""
    return stage.parameters()[parameter].get_default(call_default_factory=True)


def _argument(name: str, annotation: Any, **kwargs: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=annotation, **kwargs)


def _artifact_types(stage: type[Stage]) -> dict[str, Any]:
    types: dict[str, Any] = {}
    for name, role in stage.inputs().items():
        annotation = dsl.Input[getattr(dsl, role.artifact)]
        types[name] = Optional[annotation] if role.optional else annotation  # noqa: UP045 - KFP requires this form
    for name, role in stage.outputs().items():
        is_parameter = role.kind == "output parameter"
        types[name] = dsl.OutputPath(role.type) if is_parameter else dsl.Output[getattr(dsl, role.artifact)]
    return types


def _parameters(stage: type[Stage]) -> list[inspect.Parameter]:
    unknown = set(stage.default_images) - set(stage.parameters())
    if unknown:
        raise TypeError(f"{stage.__name__} has no parameters {sorted(unknown)}")
    parameters = []
    for name, field in stage.parameters().items():
        kwargs = {} if field.is_required() or field.annotation is FinalStatus else {"default": default(stage, name)}
        if name == _RUN_ID:
            kwargs = {"default": RUN_ID_PLACEHOLDER}
        if name in stage.default_images:
            kwargs = {"default": image(stage.default_images[name])}
        parameters.append(_argument(name, _kfp_type(name, field), **kwargs))
    return parameters


def _kfp_type(name: str, field: FieldInfo) -> type:
    annotation = field.annotation
    if annotation is FinalStatus:
        return dsl.PipelineTaskFinalStatus
    origin = typing.get_origin(annotation) or annotation
    if origin is Literal:
        return str
    if origin in (str, int, float, bool, list, dict):
        return typing.cast("type", origin)
    raise TypeError(f"parameter '{name}': KFP has no type for {annotation}")


def _documentation(stage: type[Stage]) -> str:
    """Docstring of the stage with its fields under Args, the source of KFP's descriptions."""
    described = {name: (stage.model_fields[name].description or "") for name in stage.model_fields}
    outputs = stage.outputs()
    lines = [inspect.cleandoc(stage.__doc__ or ""), "", "Args:"]
    lines += [f"    {name}: {text}" for name, text in described.items() if name not in outputs]
    lines += [f"    {name}: {described[name]}" for name in outputs]
    return "\n".join(lines)


def write_yaml(made: BaseComponent, path: Path) -> None:
    """Compile a component to a ``component.yaml`` for ``load_component_from_file``.

    Args:
        made: the component.
        path: file to write.
    """
    from kfp import compiler

    path.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(made, str(path))
