"""Endpoints: deployment, rollout, rollback, versions, smoke test."""
