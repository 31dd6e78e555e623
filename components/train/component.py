"""``train`` as a KFP component: its pod is the launcher, and SageMaker runs the image ``ncf-train``."""

from components.factory import component, image
from ncf.stages.train import Train

train = component(Train, image_name="sagemaker", train_image=image("train"))
