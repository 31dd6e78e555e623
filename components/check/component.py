"""``check`` as a KFP component: what a pipeline begins with, whose pod is the launcher."""

from components.factory import component, image
from ncf.stages.check import Check

check = component(Check, image_name="sagemaker", train_image=image("train"), deploy_image=image("deploy"))
"""The component ``check``."""
