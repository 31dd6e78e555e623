"""Models: networks in torch; scorer, retriever, ranker, similar items and cold start in numpy."""
