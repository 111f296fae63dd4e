"""Reports of a study: numbers first (frames), then tables, charts and files.

Takes plain values (a `StudyRecord`, its trials, its curves), wherever they are stored.
"""
