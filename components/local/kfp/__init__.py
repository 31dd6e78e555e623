"""A stand-in for the API of Kubeflow Pipelines on this machine, which really runs the pipelines of this project."""
