"""S3 and SageMaker on this machine, for runs without an AWS account and for the tests.

moto answers S3, STS, IAM, CloudWatch and its Logs, and all of SageMaker that is not named here. Training jobs,
models, endpoint configs and endpoints are our own: jobs really run the image's ``train`` program, endpoints its
``serve`` program under SageMaker's ``/opt/ml`` contract, as processes or in containers (``containers.py``).
"""

from components.local.aws.processes import Processes
from components.local.aws.server import LocalAws

__all__ = ["LocalAws", "Processes"]
