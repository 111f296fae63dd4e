"""Studies in a database: trials as an Optuna study, and beside them what Optuna has no place for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpsearch.store.claims import Holder
    from hpsearch.store.connection import shown_url
    from hpsearch.store.database import Database, StudySummary
    from hpsearch.store.study import Contents, StudyStore, asked_trials

__all__ = ["Contents", "Database", "Holder", "StudyStore", "StudySummary", "asked_trials", "shown_url"]

_PLACES = {
    "Holder": "claims",
    "shown_url": "connection",
    **dict.fromkeys(("Database", "StudySummary"), "database"),
    **dict.fromkeys(("Contents", "StudyStore", "asked_trials"), "study"),
}


def __getattr__(name: str) -> Any:
    """A public name when it is first used: `quick` needs neither SQLAlchemy nor Optuna."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
