"""Studies in a database: trials as an Optuna study, and beside them what Optuna has no place for."""

from hpsearch.store.claims import Holder
from hpsearch.store.connection import shown_url
from hpsearch.store.database import Database, StudySummary
from hpsearch.store.study import Contents, StudyStore, asked_trials

__all__ = ["Contents", "Database", "Holder", "StudyStore", "StudySummary", "asked_trials", "shown_url"]
