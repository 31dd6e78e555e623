"""The component ``sagemaker-transform``."""
