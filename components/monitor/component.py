"""``monitor`` as a KFP component."""

from components.factory import component
from ncf.stages.monitor import Monitor

monitor = component(Monitor)
