"""A pipeline of another project: it loads the compiled components, and knows nothing of NCF."""

from pathlib import Path

from kfp import dsl
from kfp.components import load_component_from_file

ROOT = Path(__file__).parents[2]
process, tune, train, transform = (
    load_component_from_file(str(ROOT / "components" / f"sagemaker_{name}" / "component.yaml"))
    for name in ("process", "tune", "train", "transform")
)


@dsl.pipeline(name="line")
def line(image: str, role: str, raw: dict, s3_prefix: str, run_id: str):  # type: ignore[type-arg]
    common = {"role": role, "s3_prefix": s3_prefix, "run_id": run_id}
    prepared = process(
        process_image=image,
        container_entrypoint=["prepare"],
        container_arguments=["0.7"],
        input_config=raw,
        instance_count=2,
        **common,
    ).set_retry(2)
    channels = {name: prepared.outputs[name] for name in ("train", "validation")}
    metrics = {"loss": "validation_loss=([0-9.]+);"}
    tuned = tune(
        train_image=image,
        hyperparameters={"epochs": 4},
        ranges={"rate": {"min": 0.001, "max": 0.5, "scale": "logarithmic"}},
        metric_definitions=metrics,
        metric_name="loss",
        metric_type="Minimize",
        max_num_jobs=4,
        **channels,
        **common,
    ).set_retry(2)
    trained = train(
        train_image=image,
        hyperparameters=tuned.outputs["best_hyperparameters"],
        metric_definitions=metrics,
        **channels,
        **common,
    ).set_retry(2)
    transform(
        model=trained.outputs["trained_model"],
        data=prepared.outputs["validation"],
        deploy_image=image,
        content_type="text/csv",
        split_type="Line",
        assemble_with="Line",
        **common,
    ).set_retry(2)
