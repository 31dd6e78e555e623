"""The five stages of the pipeline, a class each."""

STAGES = ("preprocess", "negative_sampling", "train", "evaluate", "deploy")
"""Names of the stages, in the order of the data flow."""
