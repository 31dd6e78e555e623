"""The component ``monitor``."""
