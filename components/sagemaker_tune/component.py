"""``sagemaker-tune`` as a KFP component: its pod is the launcher."""

from components.factory import component
from ncf.stages.sagemaker_tune import SagemakerTune

sagemaker_tune = component(SagemakerTune)
