"""GMF, MLP and NeuMF, and the numpy scorer that evaluates and serves."""
