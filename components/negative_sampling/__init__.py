"""The component ``negative-sampling``."""
