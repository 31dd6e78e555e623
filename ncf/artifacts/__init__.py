"""Artifacts that stages exchange: data set, samples, model folder, and their manifests."""
