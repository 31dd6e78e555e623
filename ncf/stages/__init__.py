"""The stages of the pipelines, one class each."""
