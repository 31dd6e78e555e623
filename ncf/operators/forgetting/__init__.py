"""Forgetting of users: the lists that preprocess refuses, and the locations where the ids still are."""
