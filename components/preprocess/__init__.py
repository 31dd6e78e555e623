"""The component ``preprocess``."""
