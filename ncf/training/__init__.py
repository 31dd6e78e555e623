"""Fitting a model: loop, optimiser, checkpoints, several processes."""
