"""The component ``recommend``."""
