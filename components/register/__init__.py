"""The component ``register``."""
