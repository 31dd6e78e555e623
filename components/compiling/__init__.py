"""Compilation of the pipelines: both forms of the YAML, arguments and tables of parameters."""
