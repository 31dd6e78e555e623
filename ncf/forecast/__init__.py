"""Forecast of a run before it is paid for: time and memory of each stage, by the size of the data."""
