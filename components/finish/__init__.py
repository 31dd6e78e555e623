"""The component ``finish``."""
