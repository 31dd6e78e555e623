"""The seed of all random numbers where nobody names another, the same in each stage and in the pipeline."""

DEFAULT_SEED = 1
