"""Reports of the stages as HTML and Markdown."""
