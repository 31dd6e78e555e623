"""The component ``sagemaker-train``."""
