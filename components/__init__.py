"""The KFP components, one folder each, made from the stages of ``ncf.stages``."""
