"""``recommend`` as a KFP component."""

from components.factory import component
from ncf.stages.recommend import Recommend

recommend = component(Recommend)
