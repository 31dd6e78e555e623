"""``negative-sampling`` as a KFP component."""

from components.factory import component
from ncf.stages.negative_sampling import NegativeSampling

negative_sampling = component(NegativeSampling)
