"""SageMaker: training jobs, endpoints, and the resources of a run."""
