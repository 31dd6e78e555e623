"""Forgetting of users: the lists that preprocess refuses, and the places where the ids still are."""
