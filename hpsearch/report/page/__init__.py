"""The report as one HTML file that needs nothing else: no network, no other file."""

from __future__ import annotations

from hpsearch.report.page.document import page_html

__all__ = ["page_html"]
