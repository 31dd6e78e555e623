"""Recommendations for all users, or many, as parquet."""
