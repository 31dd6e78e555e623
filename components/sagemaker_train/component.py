"""``sagemaker-train`` as a KFP component: its pod is the launcher."""

from components.factory import component
from ncf.stages.sagemaker_train import SagemakerTrain

sagemaker_train = component(SagemakerTrain)
