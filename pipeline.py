"""The pipelines: ncf (preprocess, sampling, train, evaluate, gate, register, deploy), release, recommend, monitor.

python pipeline.py compile                    compiles the pipelines and all components to YAML
python pipeline.py older OWN.yaml OUT.yaml    converts a pipeline of your own for KFP before 2.14
python pipeline.py run --data ratings.csv     runs the pipeline ncf on this machine
python pipeline.py recommend --model FOLDER   runs the pipeline recommend on this machine
python pipeline.py release                    runs the pipeline release on this machine
python pipeline.py monitor --endpoint NAME    runs the pipeline monitor on this machine
python pipeline.py aws                        is an AWS account on this machine that several runs share
python pipeline.py watch                      runs pipelines on this machine for events of that account
python pipeline.py check FILE                 checks a run in a file
python pipeline.py submit --host URL          runs a pipeline on a Kubeflow cluster
python pipeline.py upload --host URL          uploads a pipeline to a Kubeflow cluster, as a version
python pipeline.py schedule --host URL ...    runs a pipeline on a Kubeflow cluster on a schedule
python pipeline.py metrics SOURCE             prints the metrics of a run as Markdown
python pipeline.py triggers triggers.yaml     checks rules of triggers, and writes their CloudFormation template
"""

from ncf.stage.exits import exit_on_early_interrupt

if __name__ == "__main__":
    exit_on_early_interrupt()  # the imports below take a second

import argparse
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from kfp import compiler, dsl

from components.check.component import check
from components.cluster import commands as cluster_commands
from components.cluster import ephemeral_storage, permissions, stop_jobs, trigger_commands, watcher
from components.cluster.setup import code_pipeline
from components.cluster.setup import template as setup_stack
from components.compiling import parameter_table, pipeline_names
from components.compiling.kubeflow_1_7 import write_older
from components.deploy.component import deploy
from components.evaluate.component import evaluate
from components.factory import REGISTRY_VARIABLE, TAG_VARIABLE, check_registry_and_tag, default, image, task, write_yaml
from components.finish.component import finish
from components.local import commands as local_commands
from components.monitor.component import monitor
from components.negative_sampling.component import negative_sampling
from components.preprocess.component import preprocess
from components.recommend.component import recommend
from components.register.component import register as register_component
from components.select_package.component import select_package
from components.train.component import train
from ncf.console_text import accept_any_text
from ncf.errors import InputError, RemoteError
from ncf.stage.documentation import summary
from ncf.stage.executor_input import RUN_ID_PLACEHOLDER
from ncf.stage.exits import fail, interruptible, quiet_if_unread, reason_of
from ncf.stage.registry import stage_names
from ncf.stage.suggestions import unrecognized
from ncf.stages.deploy import Deploy
from ncf.stages.evaluate import Evaluate
from ncf.stages.finish import Finish
from ncf.stages.monitor import Monitor
from ncf.stages.negative_sampling import NegativeSampling
from ncf.stages.preprocess import Preprocess
from ncf.stages.recommend import Recommend
from ncf.stages.register import Register
from ncf.stages.select_package import SelectPackage
from ncf.stages.train import Train

ROOT = Path(__file__).parent
PIPELINE_YAML = "pipeline.yaml"
KUBEFLOW_1_7_YAML = "pipeline.kubeflow-1.7.yaml"


@dsl.pipeline(name="release", description="Deployment of the model if it is released by this run")
def deployment(
    release_now: bool,
    package: str,
    model_uri: str,
    role: str,
    region: str,
    s3_prefix: str,
    endpoint_name: str,
    instance_type: str,
    deploy_image: str,
    deploy_overrides: dict,  # type: ignore[type-arg]
) -> None:
    # a nested pipeline with a condition on its own input: KFP's local runner supports no other condition
    with dsl.If(release_now == True, name="release-now"):  # noqa: E712
        task(
            deploy,
            package=package,
            model_uri=model_uri,
            role=role,
            region=region,
            s3_prefix=s3_prefix,
            endpoint_name=endpoint_name,
            endpoint_instance_type=instance_type,
            deploy_image=deploy_image,
            deploy_overrides=deploy_overrides,
            run_id=RUN_ID_PLACEHOLDER,
        )


@dsl.pipeline(name="ncf", description="Neural Collaborative Filtering: from interactions to a SageMaker endpoint")
def ncf_pipeline(
    data_uri: str,
    train_role: str,
    deploy_role: str,
    data_items_uri: str = default(Preprocess, "items"),
    data_forgotten_uri: str = default(Preprocess, "forgotten_uri"),
    data_user_column: str = default(Preprocess, "user_column"),
    data_item_column: str = default(Preprocess, "item_column"),
    data_rating_column: str = default(Preprocess, "rating_column"),
    data_timestamp_column: str = default(Preprocess, "timestamp_column"),
    data_event_column: str = default(Preprocess, "event_column"),
    data_event_weights: dict = default(Preprocess, "event_weights"),  # type: ignore[type-arg]
    data_since: str = default(Preprocess, "since"),
    data_days: int = default(Preprocess, "days"),
    data_title_column: str = default(Preprocess, "title_column"),
    data_title_item_column: str = default(Preprocess, "title_item_column"),
    data_separator: str = default(Preprocess, "separator"),
    data_min_rating: float = default(Preprocess, "min_rating"),
    data_min_user_interactions: int = default(Preprocess, "min_user_interactions"),
    data_min_item_interactions: int = default(Preprocess, "min_item_interactions"),
    data_split: str = default(Preprocess, "split"),
    data_test_after: str = default(Preprocess, "test_after"),
    data_max_unreadable: float = default(Preprocess, "max_unreadable"),
    data_last_good: str = default(Preprocess, "last_good"),
    data_limits: dict = default(Preprocess, "limits"),  # type: ignore[type-arg]
    sampling_candidates: int = default(NegativeSampling, "candidates"),
    train_model: str = default(Train, "model"),
    train_epochs: int = default(Train, "epochs"),
    train_overrides: dict = default(Train, "train_overrides"),  # type: ignore[type-arg]
    train_instance_type: str = default(Train, "instance_type"),
    train_instance_count: int = default(Train, "instance_count"),
    train_max_run_time: int = default(Train, "max_run_time"),
    train_image: str = image("train"),
    gate_min_hr_at_10: float = default(Evaluate, "min_hr_at_10"),
    gate_not_worse_than: str = default(Evaluate, "not_worse_than"),
    registry_group: str = default(Register, "registry_group"),
    register: str = default(Register, "models"),
    release: str = default(Register, "release"),
    mlflow_uri: str = default(Register, "mlflow_uri"),
    mlflow_experiment: str = default(Register, "mlflow_experiment"),
    deploy_endpoint_name: str = default(Deploy, "endpoint_name"),
    deploy_instance_type: str = default(Deploy, "endpoint_instance_type"),
    deploy_overrides: dict = default(Deploy, "deploy_overrides"),  # type: ignore[type-arg]
    deploy_image: str = image("deploy"),
    aws_region: str = default(Train, "region"),
    aws_s3_prefix: str = default(Train, "s3_prefix"),
    notify: str = default(Finish, "notify"),
    seed: int = default(Train, "seed"),
) -> None:
    finished = task(
        finish,
        run_id=RUN_ID_PLACEHOLDER,
        region=aws_region,
        train_overrides=train_overrides,
        deploy_overrides=deploy_overrides,
        endpoint_name=deploy_endpoint_name,
        release=release,
        notify=notify,
    )
    with dsl.ExitHandler(finished, name="preprocess-train-evaluate-deploy"):
        checked = task(
            check,
            data_forgotten_uri=data_forgotten_uri,
            data_event_column=data_event_column,
            data_event_weights=data_event_weights,
            data_since=data_since,
            data_days=data_days,
            data_last_good=data_last_good,
            data_limits=data_limits,
            train_role=train_role,
            train_image=train_image,
            train_model=train_model,
            train_epochs=train_epochs,
            train_instance_type=train_instance_type,
            train_instance_count=train_instance_count,
            train_max_run_time=train_max_run_time,
            train_overrides=train_overrides,
            registry_group=registry_group,
            models=register,
            release=release,
            mlflow_uri=mlflow_uri,
            mlflow_experiment=mlflow_experiment,
            deploy_role=deploy_role,
            deploy_image=deploy_image,
            deploy_endpoint_name=deploy_endpoint_name,
            deploy_instance_type=deploy_instance_type,
            deploy_overrides=deploy_overrides,
            s3_prefix=aws_s3_prefix,
            region=aws_region,
            notify=notify,
        )
        data = task(
            preprocess,
            interactions_uri=data_uri,
            region=aws_region,
            items=data_items_uri,
            forgotten_uri=data_forgotten_uri,
            user_column=data_user_column,
            item_column=data_item_column,
            rating_column=data_rating_column,
            timestamp_column=data_timestamp_column,
            event_column=data_event_column,
            event_weights=data_event_weights,
            since=data_since,
            days=data_days,
            title_column=data_title_column,
            title_item_column=data_title_item_column,
            separator=data_separator,
            min_rating=data_min_rating,
            min_user_interactions=data_min_user_interactions,
            min_item_interactions=data_min_item_interactions,
            split=data_split,
            test_after=data_test_after,
            max_unreadable=data_max_unreadable,
            last_good=data_last_good,
            limits=data_limits,
            champion_endpoint=deploy_endpoint_name,
            champion_group=registry_group,
            seed=seed,
        )
        data.after(checked)
        sampled = task(negative_sampling, dataset=data.outputs["dataset"], candidates=sampling_candidates, seed=seed)
        trained = task(
            train,
            dataset=data.outputs["dataset"],
            samples=sampled.outputs["samples"],
            role=train_role,
            region=aws_region,
            s3_prefix=aws_s3_prefix,
            model=train_model,
            epochs=train_epochs,
            train_overrides=train_overrides,
            instance_type=train_instance_type,
            instance_count=train_instance_count,
            max_run_time=train_max_run_time,
            train_image=train_image,
            champion_endpoint=deploy_endpoint_name,
            champion_group=registry_group,
            seed=seed,
            run_id=RUN_ID_PLACEHOLDER,
        )
        evaluated = task(
            evaluate,
            model=trained.outputs["trained_model"],
            samples=sampled.outputs["samples"],
            min_hr_at_10=gate_min_hr_at_10,
            not_worse_than=gate_not_worse_than,
            champion_endpoint=deploy_endpoint_name,
            champion_group=registry_group,
            region=aws_region,
            run_id=RUN_ID_PLACEHOLDER,
            seed=seed,
        )
        registered = task(
            register_component,
            model_uri=trained.outputs["model_uri"],
            metrics=evaluated.outputs["metrics"],
            report=evaluated.outputs["report"],
            diff=evaluated.outputs["diff"],
            passed=evaluated.outputs["passed"],
            registry_group=registry_group,
            models=register,
            release=release,
            mlflow_uri=mlflow_uri,
            mlflow_experiment=mlflow_experiment,
            region=aws_region,
            s3_prefix=aws_s3_prefix,
            deploy_image=deploy_image,
            deploy_overrides=deploy_overrides,
            run_id=RUN_ID_PLACEHOLDER,
        )
        deployment(
            release_now=registered.outputs["release_now"],
            package=registered.outputs["package"],
            model_uri=trained.outputs["model_uri"],
            role=deploy_role,
            region=aws_region,
            s3_prefix=aws_s3_prefix,
            endpoint_name=deploy_endpoint_name,
            instance_type=deploy_instance_type,
            deploy_image=deploy_image,
            deploy_overrides=deploy_overrides,
        )


@dsl.pipeline(name="ncf-release", description="An approved model package from the Model Registry to an endpoint")
def release_pipeline(
    deploy_role: str,
    deploy_endpoint_name: str,
    package: str = default(SelectPackage, "package"),
    registry_group: str = default(SelectPackage, "registry_group"),
    deploy_instance_type: str = default(Deploy, "endpoint_instance_type"),
    deploy_overrides: dict = default(Deploy, "deploy_overrides"),  # type: ignore[type-arg]
    aws_region: str = default(Deploy, "region"),
    aws_s3_prefix: str = default(Deploy, "s3_prefix"),
    notify: str = default(Finish, "notify"),
) -> None:
    finished = task(
        finish,
        run_id=RUN_ID_PLACEHOLDER,
        region=aws_region,
        trains=False,
        deploy_overrides=deploy_overrides,
        endpoint_name=deploy_endpoint_name,
        notify=notify,
    )
    with dsl.ExitHandler(finished, name="select-deploy"):
        selected = task(select_package, package=package, registry_group=registry_group, region=aws_region)
        task(
            deploy,
            package=selected.outputs["arn"],
            role=deploy_role,
            region=aws_region,
            s3_prefix=aws_s3_prefix,
            endpoint_name=deploy_endpoint_name,
            endpoint_instance_type=deploy_instance_type,
            deploy_overrides=deploy_overrides,
            run_id=RUN_ID_PLACEHOLDER,
        )


@dsl.pipeline(name="ncf-recommend", description="Recommendations of a model for all users, or a list, as parquet")
def recommend_pipeline(
    model_uri: str,
    users_uri: str = default(Recommend, "users"),
    top_k: int = default(Recommend, "top_k"),
    exclude_seen: bool = default(Recommend, "exclude_seen"),
    with_titles: bool = default(Recommend, "with_titles"),
    candidates: int = default(Recommend, "candidates"),
    checkpoints: str = default(Recommend, "checkpoints"),
    aws_region: str = default(Recommend, "region"),
) -> None:
    task(
        recommend,
        model_uri=model_uri,
        region=aws_region,
        users=users_uri,
        top_k=top_k,
        exclude_seen=exclude_seen,
        with_titles=with_titles,
        candidates=candidates,
        checkpoints=checkpoints,
    )


@dsl.pipeline(name="ncf-monitor", description="Traffic, drift and outcomes of a live endpoint in a time window")
def monitor_pipeline(
    endpoint_name: str,
    since: str = default(Monitor, "since"),
    hours: int = default(Monitor, "hours"),
    interactions_uri: str = default(Monitor, "interactions_uri"),
    horizon_hours: int = default(Monitor, "horizon_hours"),
    model_uri: str = default(Monitor, "model_uri"),
    capture_uri: str = default(Monitor, "capture_uri"),
    reference_uri: str = default(Monitor, "reference_uri"),
    markers_uri: str = default(Monitor, "markers_uri"),
    max_psi: float = default(Monitor, "max_psi"),
    max_unknown_users: float = default(Monitor, "max_unknown_users"),
    max_unknown_items: float = default(Monitor, "max_unknown_items"),
    max_popular: float = default(Monitor, "max_popular"),
    max_top_share: float = default(Monitor, "max_top_share"),
    min_coverage: float = default(Monitor, "min_coverage"),
    max_errors: float = default(Monitor, "max_errors"),
    max_latency: int = default(Monitor, "max_latency"),
    max_unreadable: float = default(Monitor, "max_unreadable"),
    min_hit_rate: float = default(Monitor, "min_hit_rate"),
    retrain: bool = default(Monitor, "retrain"),
    stop_worse: bool = default(Monitor, "stop_worse"),
    aws_region: str = default(Monitor, "region"),
    notify: str = default(Monitor, "notify"),
) -> None:
    finished = task(
        finish, run_id=RUN_ID_PLACEHOLDER, region=aws_region, trains=False, last_stage="monitor", notify=notify
    )
    with dsl.ExitHandler(finished, name="monitor-endpoint"):
        task(
            monitor,
            endpoint_name=endpoint_name,
            since=since,
            hours=hours,
            interactions_uri=interactions_uri,
            horizon_hours=horizon_hours,
            model_uri=model_uri,
            capture_uri=capture_uri,
            reference_uri=reference_uri,
            markers_uri=markers_uri,
            max_psi=max_psi,
            max_unknown_users=max_unknown_users,
            max_unknown_items=max_unknown_items,
            max_popular=max_popular,
            max_top_share=max_top_share,
            min_coverage=min_coverage,
            max_errors=max_errors,
            max_latency=max_latency,
            max_unreadable=max_unreadable,
            min_hit_rate=min_hit_rate,
            retrain=retrain,
            stop_worse=stop_worse,
            region=aws_region,
            notify=notify,
        )


PIPELINES: Mapping[str, tuple[Any, Path]] = {
    "ncf": (ncf_pipeline, Path()),
    "release": (release_pipeline, Path("components", "release")),
    "recommend": (recommend_pipeline, Path("components", "recommend")),
    "monitor": (monitor_pipeline, Path("components", "monitor")),
}
"""Pipelines by name, each with the folder of its compiled files: one for current Kubeflow, one for 1.7."""


def compile_all(folder: Path) -> list[Path]:
    """Compile the pipelines, their Kubeflow 1.7 forms, all components, and the manifests for a cluster.

    Args:
        folder: folder to write to.

    Returns:
        Paths of the files.
    """
    written = []
    for pipeline, location in PIPELINES.values():
        package, older = folder / location / PIPELINE_YAML, folder / location / KUBEFLOW_1_7_YAML
        package.parent.mkdir(parents=True, exist_ok=True)
        compiler.Compiler().compile(pipeline, str(package))
        write_older(package, older)
        written += [package, older]
    for stage in stage_names():
        made = getattr(import_module(f"components.{stage}.component"), stage)
        written.append(folder / "components" / stage / "component.yaml")
        write_yaml(made, written[-1])
    cluster = folder / "components" / "cluster"
    manifests = (permissions, setup_stack, code_pipeline, stop_jobs, ephemeral_storage, watcher)
    written += [kind.write(cluster) for kind in manifests]
    if folder == ROOT:
        parameter_table.write(folder / PIPELINE_YAML, ROOT / parameter_table.README)
        pipeline_names.write([composed.pipeline_spec for composed, _ in PIPELINES.values()], ROOT / pipeline_names.FILE)
    return written


def _older(options: argparse.Namespace) -> None:
    if not options.package.is_file():
        raise InputError(f"package: '{options.package}' does not exist; expected a compiled pipeline")
    write_older(options.package, options.output)
    print(options.output)


def _compile(options: argparse.Namespace) -> None:
    check_registry_and_tag()
    for path in compile_all(options.output):
        print(path)


class _Parser(argparse.ArgumentParser):
    """A parser that suggests options for misspelt ones."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        options, rest = super().parse_known_args(args, namespace)
        if rest:
            said = unrecognized(rest, self._option_string_actions)
            raise InputError(f"{said}; 'python {self.prog} --help' lists the options")
        return options, rest


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="pipeline.py", description=summary(sys.modules[__name__]))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    described = {
        "compile": (
            _compile,
            f"compile pipelines and components; images are {REGISTRY_VARIABLE}/ncf-STAGE:{TAG_VARIABLE}",
        ),
        "older": (_older, "convert a compiled pipeline of your own for KFP before 2.14, including Kubeflow 1.7"),
    }
    made = {}
    for name, (function, text) in described.items():
        made[name] = commands.add_parser(name, help=text, description=text)
        made[name].set_defaults(function=function)
    made["compile"].add_argument("--output", type=Path, default=ROOT, help="folder to write to (default: this project)")
    made["older"].add_argument("package", type=Path, help="pipeline compiled by KFP's SDK")
    made["older"].add_argument("output", type=Path, help="file to write")
    local_commands.add(commands, {name: composed for name, (composed, _) in PIPELINES.items()})
    packages = {name: (composed, ROOT / location / PIPELINE_YAML) for name, (composed, location) in PIPELINES.items()}
    cluster_commands.add(commands, packages)
    trigger_commands.add(commands, [composed for composed, _ in PIPELINES.values()])
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. Exit status: 0, 2 for invalid input, 1 for other failures, 130 after Ctrl-C."""
    accept_any_text()
    with quiet_if_unread():
        _main(arguments)


def _main(arguments: Sequence[str] | None) -> None:
    interrupted = "everything that was started has been stopped"
    try:
        with interruptible():
            options = _parser().parse_args(arguments)
            interrupted = getattr(options, "interrupted", interrupted)
            options.function(options)
    except InputError as error:
        fail(str(error))
    except (RemoteError, RuntimeError) as error:
        fail(str(error), status=1)
    except OSError as error:
        if not (reason := reason_of(error)):
            raise
        fail(reason)
    except KeyboardInterrupt:
        fail(f"interrupted; {interrupted}", status=130)


if __name__ == "__main__":
    main()
