"""``sagemaker-process`` as a KFP component: its pod is the launcher."""

from components.factory import component
from ncf.stages.sagemaker_process import SagemakerProcess

sagemaker_process = component(SagemakerProcess)
