"""Runs of pipelines that events start: rules, causes, windows, and the watcher of their queue."""
