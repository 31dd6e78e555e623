"""The five stages of the pipeline, a class each."""
