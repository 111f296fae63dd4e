"""Stored studies: found, listed, shown, deleted, dumped and checked. Nothing here trains."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.defaults import DEFAULT_STORAGE
from hpsearch.errors import (
    HpsearchError,
    NothingToShowError,
    StorageError,
    UnknownStudyError,
    check_trial,
    nearest,
    plural,
)
from hpsearch.records import CURVE_COLUMNS
from hpsearch.result import Compacted, Dumped, StudyDetails, TrialDetails
from hpsearch.study.file import Study, full_key, load_study, study_from_document

if TYPE_CHECKING:
    from hpsearch.running.checkup import Finding
    from hpsearch.running.shipped import Shipped
    from hpsearch.store import Contents, Database, StudyStore, StudySummary


def open_storage(storage: str, create: bool = False) -> Database:
    """The database at a URL, as a context manager. create: where there is none."""
    from hpsearch.store import Database  # takes the imports of SQLAlchemy and Optuna

    return Database.open(storage, create=create)


def shown_url(storage: str) -> str:
    """The URL of a database without its password."""
    from hpsearch.store import shown_url

    return shown_url(storage)


def find_study(
    study: str | Path,
    storage: str = DEFAULT_STORAGE,
    overrides: Iterable[str] = (),
    say: Callable[[str], None] = lambda text: None,
) -> Study:
    """The study of a file, or of a name.

    A name is that of a stored study, else of NAME.toml here or in studies/, else of one that comes with
    hpsearch.

    Args:
        overrides: "key=value" pairs such as "space.width=32", applied on top; the section may be left out
            where only one has the key. say: is told which file a name stands for, and which section is meant.

    Raises:
        StudyFileError: with everything that is wrong in the file. UnknownStudyError: there is neither.
    """
    text, overrides = str(study), _with_sections(overrides, say)
    if _is_study_file(text):
        return load_study(text, overrides)
    try:
        with open_storage(storage) as database:
            record = database.study(text).record
    except (UnknownStudyError, StorageError) as error:
        missing = error
    else:
        return study_from_document(record.document, record.origin, overrides)
    return load_study(_file_of(text, missing, say), overrides)


def _with_sections(overrides: Iterable[str], say: Callable[[str], None]) -> list[str]:
    """The overrides with their sections; `say` is told of those that were typed without."""
    full = []
    for typed in overrides:
        key, _, value = full_key(typed).partition("=")
        if key != typed.partition("=")[0].strip():
            say(f"set      {key} = {value.strip()}")
        full.append(f"{key}={value}")
    return full


def _is_study_file(text: str) -> bool:
    if text.endswith(".toml") or not os.path.isfile(text):
        return text.endswith(".toml")
    from hpsearch.data.glance import is_data_file  # takes pyarrow's import

    return not is_data_file(Path(text))


def _file_of(name: str, missing: HpsearchError, say: Callable[[str], None]) -> Path:
    """The study file that a name stands for. missing: why no stored study has that name.

    Raises:
        UnknownStudyError: there is none, with what the name may mean.
    """
    for path in (Path(f"{name}.toml"), Path("studies", f"{name}.toml")):
        if os.path.isfile(path):
            say(f"study    {path}")
            return path
    if os.path.exists(name):
        from hpsearch.data.glance import glance

        found = glance(name)
        step = f". To write a study file for it:  {found.command}" if found.command else ""
        raise UnknownStudyError(f"{name} is {found.what}; expected a study file or a stored study{step}")
    own = {each.name: each.path for each in shipped_studies()}
    if name in own:
        say(f"study    {name}, which comes with hpsearch ({own[name]})")
        return own[name]
    raise UnknownStudyError(_no_study(name, [*own], missing))


def _no_study(name: str, known: Iterable[str], missing: HpsearchError) -> str:
    """What to say of a name that no file and no study has."""
    from hpsearch.data.builtin import BUILT_IN
    from hpsearch.data.containers import no_such_file
    from hpsearch.data.glance import init_command, is_data_name

    if name in BUILT_IN:
        return f'"{name}" is built-in data, not a study. To write a study file for it:  {init_command(name)}'
    if is_data_name(name):
        return no_such_file(Path(name))
    files = [str(path) for folder in (Path(), Path("studies")) for path in sorted(folder.glob("*.toml"))]
    near = nearest(name, [*files, *(Path(file).stem for file in files), *known])
    return f"{name}: no such study file{near}; nor is it a stored study ({missing})"


def shipped_studies() -> list[Shipped]:
    """The studies that come with hpsearch: `run` takes their names."""
    from hpsearch.running.shipped import shipped

    return shipped()


def study_name(study: Study | str | Path) -> str:
    """The name of the stored study that is meant by a study, a study file's path or a name.

    Raises:
        HpsearchError: it is a study file, and that cannot be read.
    """
    if isinstance(study, Study):
        return study.name
    text = str(study)
    return load_study(text).name if _is_study_file(text) else text


def studies(*, storage: str = DEFAULT_STORAGE) -> list[StudySummary]:
    """The stored studies: name, task, metric, trials by state, best value, when and for how long trained.

    Raises:
        NothingToShowError: none is stored.
    """
    with open_storage(storage) as database:
        if found := database.studies():
            return [
                each if each.complete else replace(each, complete=_is_complete(database.study(each.name)))
                for each in found
            ]
        raise NothingToShowError(
            f"{database.url}: no study is stored. To begin: hpsearch init, then hpsearch run"
        )


def _is_complete(store: StudyStore) -> bool:
    """Whether nothing of a stored study is left to train, perhaps short of its trials."""
    from hpsearch.running.resume import is_complete

    return is_complete(study_from_document(store.record.document, store.record.origin), store) is not None


def show(study: Study | str | Path, *, storage: str = DEFAULT_STORAGE) -> StudyDetails:
    """How a stored study was set up, by which runs it was trained, and whether it is complete."""
    from hpsearch.results.activity import activity
    from hpsearch.store import asked_trials

    with open_storage(storage) as database:
        store = database.study(study_name(study))
        counts, total = store.counts(), asked_trials(store.record)
        now = activity(counts, total, store.holder(), _is_complete(store))
        return StudyDetails(store.record, counts, store.runs(), now)


def show_trial(study: Study | str | Path, trial: int, *, storage: str = DEFAULT_STORAGE) -> TrialDetails:
    """A trial of a stored study with its curve, and in which runs and lanes it was trained."""
    import numpy as np

    with open_storage(storage) as database:
        store = database.study(study_name(study))
        check_trial(store.record.name, trial, sum(store.counts().values()))
        trials, _ = store.read(curves=False)
        curve = store.curves([trial]).get(trial, np.empty((0, len(CURVE_COLUMNS))))
        return TrialDetails(store.record, trials, trial, curve, store.segments([trial]))


def delete(
    study: Study | str | Path,
    *,
    storage: str = DEFAULT_STORAGE,
    ask: Callable[[str], bool] = lambda what: True,
) -> str | None:
    """Delete a stored study with all its trials and curves.

    Args:
        ask: is told what is about to be deleted, and says whether to.

    Returns:
        What was deleted, in words; None if that was not to be.
    """
    with open_storage(storage) as database:
        name = study_name(study)
        try:
            trials = plural(sum(database.study(name).counts().values()), "trial")
        except UnknownStudyError:
            raise
        except StorageError:
            trials = "trials that cannot be read any more"
        what = f"study {name} with {trials} in {database.url}"
        if not ask(what):
            return None
        database.delete_study(name)
        return what


def compact(*, storage: str = DEFAULT_STORAGE) -> Compacted:
    """Rewrite an SQLite database to reclaim space.

    Raises:
        StudyBusyError: a study in it is being trained. StorageError: it is no SQLite file.
    """
    with open_storage(storage) as database:
        return Compacted(database.url, *database.compact())


def dump(study: Study | str | Path, out: str | Path, *, storage: str = DEFAULT_STORAGE) -> Dumped:
    """Write a whole stored study to a new .json file, or to a new folder as Parquet tables.

    Raises:
        HpsearchError: there is no such study, or `out` exists already or cannot be written.
    """
    from hpsearch.files import write_files
    from hpsearch.store.transfer import dump_json, dump_tables

    out = Path(out)
    if os.path.lexists(out):
        raise HpsearchError(f"{out}: exists already; choose another file or folder, or delete it")
    with open_storage(storage) as database:
        store = database.study(study_name(study))
        contents = store.contents()
    one_file = out.suffix.lower() == ".json"
    if one_file:
        files = {out: dump_json(store.record, contents)}
    else:
        files = {out / name: data for name, data in dump_tables(store.record, contents).items()}
    write_files(files, "another OUT", parents=not one_file)
    return _dumped(store.record.name, contents, str(out), sum(map(len, files.values())))


def load(source: str | Path, *, storage: str = DEFAULT_STORAGE) -> Dumped:
    """Store a study that `dump` wrote, exactly as it was.

    Raises:
        StorageError: it is no such file or folder, is damaged, or a study of its name is stored already.
    """
    from hpsearch.store.transfer import read_dump

    record, contents = read_dump(Path(source))
    with open_storage(storage, create=True) as database:
        database.create_study(record, contents)
        return _dumped(record.name, contents, database.url)


def _dumped(study: str, contents: Contents, place: str, size: int = 0) -> Dumped:
    return Dumped(study, len(contents.trials), sum(trial.epochs for trial in contents.trials), place, size)


def doctor(*, storage: str = DEFAULT_STORAGE, device: str = "auto") -> list[Finding]:
    """Check versions, kernel, device and storage: each stored row against its checksum."""
    from hpsearch.running.checkup import checkup

    return checkup(storage, device)
