"""Processing jobs: a program of any image, with inputs and outputs in S3."""
