"""``train`` as a KFP component: its pod is the launcher, and SageMaker runs the image ``ncf-train``."""

from components.factory import component
from ncf.stages.train import Train

train = component(Train)
