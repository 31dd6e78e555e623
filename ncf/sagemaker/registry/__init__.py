"""SageMaker's Model Registry: packages, which are versions of a model package group."""
