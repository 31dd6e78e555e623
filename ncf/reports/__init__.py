"""Reports of the stages as HTML and Markdown.

For a new component: :mod:`~ncf.reports.markdown` (escaped text, tables, code, links), :mod:`~ncf.reports.html` (pages),
:mod:`~ncf.reports.plots` (charts of a page) and :mod:`~ncf.reports.numbers` (number formats).
"""
