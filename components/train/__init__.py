"""The component ``train``."""
