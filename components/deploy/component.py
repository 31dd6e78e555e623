"""``deploy`` as a KFP component: its pod is the launcher, and SageMaker runs the image ``ncf-deploy``."""

from components.factory import component
from ncf.stages.deploy import Deploy

deploy = component(Deploy)
