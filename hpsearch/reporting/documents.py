"""What sections add to the JSON document, as JSON-able values; a confirmation's is made by `finalists`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hpsearch.records import StudyRecord
from hpsearch.results.frames import PARAM, Report
from hpsearch.results.lessons import Lessons
from hpsearch.text import json_value


def study_document(report: Report, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What was studied, how far it is and what it cost; rows: its trials, best first."""
    record = report.record
    return {
        **study_names(record),
        "counts": {str(state): count for state, count in report.counts.items()},
        "best": rows[0] if rows and rows[0]["rank"] == 1 else None,
        "epochs": report.epochs,
        "seconds": json_value(record.seconds),
        "epochs_per_second": json_value(report.epochs_per_second),
        "data": {"hash": record.data_hash, **json_value(record.data_summary)},
    }


def study_names(record: StudyRecord) -> dict[str, Any]:
    """Name, task and what is made best."""
    return {
        "name": record.name,
        "task": record.task,
        "metric": record.metric,
        "direction": record.direction,
        **({"objectives": list(record.objectives)} if record.objectives else {}),
    }


def trial_row(row: dict[Any, Any], objectives: Sequence[str]) -> dict[str, Any]:
    """A row of the trials' frame."""
    values = {str(key): json_value(value) for key, value in row.items()}
    own = ("rank", "trial", "state", "value", "loss", "epochs", "best_epoch")
    params = {key.removeprefix(PARAM): value for key, value in values.items() if key.startswith(PARAM)}
    several = {"objectives": _only(values, objectives), "pareto": values["pareto"]} if objectives else {}
    return {**_only(values, own), **several, "params": params, "reason": values["reason"]}


def _only(values: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: values[key] for key in keys}


def lessons_document(lessons: Lessons) -> dict[str, Any]:
    """Importances, hyper-parameters by themselves, interactions and verdicts; shares are from 0 to 1."""
    document: dict[str, Any] = json_value(
        {
            "basis": {
                "trials": len(lessons.basis),
                "epoch": lessons.basis.epoch,
                "diverged": lessons.basis.diverged,
                "sentence": lessons.basis.sentence,
            },
            "importances": [dict(vars(each)) for each in lessons.importances],
            "isolations": [
                {"name": each.name, "log": each.log, "buckets": each.buckets.to_dict("records")}
                for each in lessons.isolations
            ],
            "interactions": [
                {
                    "first": each.first,
                    "second": each.second,
                    "share": each.share,
                    "p": each.p,
                    "sentence": each.sentence,
                    "cells": each.cells.to_dict("records"),
                }
                for each in lessons.interactions
            ],
            "verdicts": [
                {"name": each.name, "sentence": each.sentence, "values": each.values.to_dict("records")}
                for each in lessons.verdicts
            ],
        }
    )
    return document
