"""A pipeline of another project: a component of its own, called train, beside this project's negative sampling."""

from pathlib import Path

from kfp import dsl
from kfp.compiler import Compiler

from components.negative_sampling.component import negative_sampling


@dsl.container_component
def train(rows: int, model: str):
    return dsl.ContainerSpec(image="python", command=["python", "-m", "mine", "train"], args=[model, rows])


@dsl.pipeline(name="mine")
def mine(rows: int, source: str, rate: float = 0.5, candidates: int = 99, options: dict = {}):  # type: ignore[type-arg]  # noqa: B006
    train(rows=rows, model=source)
    data = dsl.importer(artifact_uri=source, artifact_class=dsl.Dataset)
    negative_sampling(dataset=data.output, candidates=candidates)


def write(path: Path) -> Path:
    """Compile the pipeline to a file."""
    Compiler().compile(mine, str(path))
    return path
