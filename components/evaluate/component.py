"""``evaluate`` as a KFP component."""

from components.factory import component
from ncf.stages.evaluate import Evaluate

evaluate = component(Evaluate)
