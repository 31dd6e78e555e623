"""The REST API of Kubeflow Pipelines, by its generated client ``kfp_server_api``: without the SDK kfp."""
