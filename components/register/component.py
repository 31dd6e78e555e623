"""``register`` as a KFP component: its pod is the launcher."""

from components.factory import component
from ncf.stages.register import Register

register = component(Register)
