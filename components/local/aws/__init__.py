"""A stand-in for S3 and SageMaker on this machine, for tests and for runs without an AWS account.

moto implements S3, STS, IAM, CloudWatch, CloudWatch Logs and most operations of SageMaker. This package implements
training, processing, tuning and batch transform jobs, models, endpoint configs and endpoints. Training jobs run the
``train`` program of the image, transform jobs and endpoints its ``serve`` program, processing jobs a command of it, all
under SageMaker's ``/opt/ml`` contract, as processes or in containers (``containers.py``).
"""

from components.local.aws.processes import Processes
from components.local.aws.remote import RemoteAws
from components.local.aws.server import LocalAws

__all__ = ["LocalAws", "Processes", "RemoteAws"]
