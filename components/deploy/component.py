"""``deploy`` as a KFP component: its pod is the launcher, and SageMaker runs the image ``ncf-deploy``."""

from components.factory import component, image
from ncf.stages.deploy import Deploy

deploy = component(Deploy, image_name="sagemaker", deploy_image=image("deploy"))
