"""The page: a browser shows a running recorder, or a finished recording. See docs/page.md.

`server` serves files and answers, and `guard` decides who may ask; `live` shows a running recorder,
`recording` answers from an archive. The page itself is in `page/`: HTML, one script, one style sheet, and uPlot
with its licence.
"""
