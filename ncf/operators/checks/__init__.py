"""Checks of ``ncf doctor``: credentials, roles, bucket, images, quotas, pipeline root and the KFP API."""
