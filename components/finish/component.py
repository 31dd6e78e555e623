"""``finish`` as a KFP component: the exit handler of a pipeline, whose pod is the launcher."""

from components.factory import component
from ncf.stages.finish import Finish

finish = component(Finish)
"""The component ``finish``."""
