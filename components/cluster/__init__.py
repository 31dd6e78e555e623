"""What a cluster and its account need beside the pipeline: permissions, and a clock that sweeps."""
