"""The lessons as JSON-able values."""

from __future__ import annotations

from typing import Any

from hpsearch.results.lessons import Lessons
from hpsearch.text import json_value


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
