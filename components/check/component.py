"""``check`` as a KFP component: what a pipeline begins with, whose pod is the launcher."""

from components.factory import component
from ncf.stages.check import Check

check = component(Check)
"""The component ``check``."""
