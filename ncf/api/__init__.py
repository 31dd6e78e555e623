"""Requests, answers and limits of the endpoint's contract; no server is in it."""
