"""Looks at copies of a database in which one bit each is flipped. A process of its own: it may hang or crash.

    python -m tests.flips DATABASE SEED FIRST LAST

Prints a JSON line for each flip that is not as promised, and one with the counts at the end.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from hpsearch.errors import StorageError
from hpsearch.reporting.json_csv import json_text, report_document
from hpsearch.store import Database, StudyStore
from tests.studies import finished_report
from tests.whole_study import CHECKPOINTS, NAME


def report(store: StudyStore) -> str:
    return json_text(report_document(finished_report(store.record, *store.read())))


def curves(store: StudyStore, *numbers: int) -> object:
    return [(n, curve.shape, curve.tobytes()) for n, curve in store.curves(numbers or None).items()]


def pieces(store: StudyStore) -> object:
    return [(vars(piece) | {"curve": piece.curve.tobytes()}) for piece in store.segments()]


LOOKS: dict[str, Callable[[StudyStore], object]] = {
    "record": lambda store: store.record,
    "counts": StudyStore.counts,
    "trials": StudyStore.trials,
    "a trial": lambda store: store.trials([1]),
    "curves": curves,
    "a curve": lambda store: curves(store, 0),
    "pieces": pieces,
    "cohorts": StudyStore.cohorts,
    "last cohort": StudyStore.last_cohort,
    "runs": StudyStore.runs,
    "queue": StudyStore.queue,
    # Damaged ones are left out, since they can be trained again.
    "checkpoints": lambda store: store.checkpoints().items() <= CHECKPOINTS.items(),
    "report": report,
}
"""What can be shown of a study, each by itself: one refusal must not hide another's wrong number."""


def shown(path: Path) -> dict[str, str]:
    """What each look shows; "refused" where it says that the database is damaged."""
    found = dict.fromkeys(("list", *LOOKS), "refused")
    with suppress(StorageError), Database.open(f"sqlite:///{path}") as database:
        found["list"] = _guarded(database.studies)
        store = database.find(NAME)
        for name, look in LOOKS.items():
            found[name] = "no such study" if store is None else _guarded(partial(look, store))
    return found


def _guarded(look: Callable[[], object]) -> str:
    try:
        return repr(look())
    except StorageError as error:
        return "refused" if "\n" not in str(error) else f"refused in several lines: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def flipped(data: bytes, bit: int) -> bytes:
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def main(database: Path, seed: int, first: int, last: int) -> None:
    data = database.read_bytes()
    sound, counts = shown(database), Counter[str]()
    assert "refused" not in sound.values()
    with TemporaryDirectory() as folder:
        path = Path(folder, "x.db")
        for case in range(first, last):
            bit = Random(f"{seed} {case}").randrange(8 * len(data))
            path.write_bytes(flipped(data, bit))
            found = shown(path)
            wrong = {name: text for name, text in found.items() if text not in ("refused", sound[name])}
            if wrong:
                print(json.dumps({"case": case, "bit": bit, "wrong": wrong}), flush=True)
            refused = "refused" in found.values()
            counts["wrong" if wrong else "refused" if refused else "the same"] += 1
            for left in Path(folder).iterdir():
                left.unlink()
    print(json.dumps(counts))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:5]))
