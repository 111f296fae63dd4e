"""What the page brings along: Vega's JavaScript, and its own scripts, styles and template."""

from __future__ import annotations

import base64
import hashlib
import json
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from markupsafe import Markup

from hpsearch.cache import cache_folder, prune, put
from hpsearch.reporting.theme import DARK, LIGHT

_FOLDER = Path(__file__).parent
_LIBRARY = "vl-convert-python"
_KEPT, _MOST_BYTES = 2, 8_000_000


def vega_script() -> Markup:
    """Vega, Vega-Lite and vega-embed as one script, which takes seconds to put together and so is kept."""
    name = f"vega-{metadata.version(_LIBRARY)}.js"
    folder = cache_folder()
    if folder is not None:
        with suppress(OSError, UnicodeDecodeError):
            return _closed((folder / name).read_text(encoding="utf-8"))
    import vl_convert

    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    if folder is not None:
        put(folder, name, lambda path: path.write_text(script, encoding="utf-8", newline="\n"))
        prune(folder, "vega-*.js", _KEPT, _MOST_BYTES)
    return _closed(script)


def own_script() -> Markup:
    """The page's own JavaScript."""
    return Markup("\n".join(_read(name) for name in ("charts.js", "trials.js")))


def style() -> Markup:
    """The page's style sheet, with the charts' colours."""
    rules = _read("page.css")
    for name, colours in (("LIGHT", LIGHT), ("DARK", DARK)):
        rules = rules.replace(f"/*{name}*/", " ".join(f"--{key}: {value};" for key, value in colours.items()))
    return Markup(rules)


def template() -> str:
    """The page's Jinja template."""
    return _read("page.html.jinja")


def json_block(value: Any) -> Markup:
    """JSON for a script element that is data: nothing in it ends the element or begins another."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def policy(scripts: list[Markup], styles: list[Markup]) -> str:
    """A content security policy that allows these scripts and styles, pictures in the page, and no more."""
    allowed = {"script-src": scripts, "style-src": styles}
    rules = [f"{name} {' '.join(map(_source, texts))}" for name, texts in allowed.items()]
    return "; ".join(["default-src 'none'", *rules, "img-src data:", "base-uri 'none'", "form-action 'none'"])


def _source(text: Markup) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _closed(script: str) -> Markup:
    """In JavaScript's strings, where alone these can stand, the backslash changes nothing."""
    return Markup(script.replace("</script", r"<\/script").replace("<!--", r"<\!--"))


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
