"""The component ``sagemaker-process``."""
