"""Artifacts between stages: data set, samples, model folder, and their manifests."""
