"""``sagemaker-transform`` as a KFP component: its pod is the launcher."""

from components.factory import component
from ncf.stages.sagemaker_transform import SagemakerTransform

sagemaker_transform = component(SagemakerTransform)
