"""The component ``sagemaker-tune``."""
