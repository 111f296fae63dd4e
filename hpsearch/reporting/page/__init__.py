"""The report as one HTML file that needs nothing else: no network, no other file."""

from __future__ import annotations

from hpsearch.reporting.page.page import page_html

__all__ = ["page_html"]
