"""``sagemaker-tune`` as a KFP component: its pod is the launcher."""

from ncf.stages.sagemaker_tune import SagemakerTune

from components.factory import component

sagemaker_tune = component(SagemakerTune)
