"""Training jobs: settings, names and requests."""
