"""Studies in a database: trials as an Optuna study, and beside them what Optuna has no place for."""

from hpsearch.store.connection import shown_url
from hpsearch.store.database import Database, StudySummary
from hpsearch.store.study import Contents, StudyStore

__all__ = ["Contents", "Database", "StudyStore", "StudySummary", "shown_url"]
