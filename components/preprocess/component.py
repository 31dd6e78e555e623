"""``preprocess`` as a KFP component."""

from components.factory import component
from ncf.stages.preprocess import Preprocess

preprocess = component(Preprocess)
