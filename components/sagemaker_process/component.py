"""``sagemaker-process`` as a KFP component: its pod is the launcher."""

from ncf.stages.sagemaker_process import SagemakerProcess

from components.factory import component

sagemaker_process = component(SagemakerProcess)
