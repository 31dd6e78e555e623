"""``sagemaker-transform`` as a KFP component: its pod is the launcher."""

from ncf.stages.sagemaker_transform import SagemakerTransform

from components.factory import component

sagemaker_transform = component(SagemakerTransform)
