"""The component ``check``."""
