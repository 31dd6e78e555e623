"""The component ``deploy``."""
