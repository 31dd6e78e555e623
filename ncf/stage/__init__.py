"""Stages as classes: parameters, artifacts, command line and output paths."""
