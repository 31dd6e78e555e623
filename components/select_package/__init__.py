"""The component ``select-package``."""
