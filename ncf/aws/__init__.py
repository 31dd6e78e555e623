"""Calls to AWS that all launchers share: session, names, tags, logs, permissions."""
