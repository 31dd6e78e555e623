"""The HTTP application that answers with recommendations."""
