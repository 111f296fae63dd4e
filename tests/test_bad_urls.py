"""No password is printed, wherever and in whatever form a database's URL was typed."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import pytest

from hpsearch.errors import HpsearchError, without_secrets
from hpsearch.store import shown_url
from tests.fuzzing import said
from tests.studies import hpsearch

SECRET = "s3cret"
FORMS = (
    f"postgresql://anna:{SECRET}@host/db",
    f"postgresql+psycopg://anna:{SECRET}@host:5432/db?sslmode=require",
    f"postgresql://anna:x{SECRET}/{SECRET}@host/db",
    f"postgresql://anna:a@{SECRET}@host/db",
    f"postgresql://:{SECRET}@host/db",
    f"postgresql:/anna:{SECRET}@host/db",
    f"postgresql:anna:{SECRET}@host/db",
    f"//anna:{SECRET}@host/db",
    f"anna:{SECRET}@host/db",
    f"host=h password={SECRET} user=anna",
    f"host=h password='{SECRET} {SECRET}' user=anna",
    f"host=h password = '{SECRET}\\' {SECRET}' user=anna",
    f"postgresql://host/db?user=anna&password={SECRET}",
    f"postgresql://host/db?options=password%3D{SECRET}",
    f"postgresql://host/db?options=-c%20password%3D%27{SECRET}%20{SECRET}%27",
    f"postgresql://host/db?token={SECRET}",
    f"postgresql://host/db?access_token={SECRET}&user=anna",
    f"mssql+pyodbc:///?odbc_connect=DRIVER%3D%7BODBC%7D%3BUID%3Danna%3BPWD%3D{SECRET}%3B",
    f"DRIVER={{ODBC}};SERVER=h;UID=anna;PWD={SECRET};DATABASE=d",
    f"DRIVER={{ODBC}};SERVER=h;UID=anna;PWD={{{SECRET};{SECRET}}};DATABASE=d",
    f"PGPASSWORD={SECRET}",
)
PLACES = (
    ("init", "{}"),
    ("run", "{}"),
    ("run", "x", "--storage", "{}"),
    ("run", "x", "--storage{}"),
    ("list", "--storage={}"),
    ("list", "{}"),
    ("{}",),
    ("doctor", "--storage", "{}"),
    ("load", "{}"),
    ("predict", "{}", "x.csv"),
    ("run", "x", "--trials", "{}"),
    ("run", "x.toml", "--set", "{}"),
    ("export", "x", "--out", "{}"),
)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_shown_of_a_url_has_no_password(form: str) -> None:
    for text in (
        shown_url(form),
        without_secrets(form),
        without_secrets(f"no such option: --storage{form}; see hpsearch run --help"),
        without_secrets(f'"{form}": no such study file, or sqlite:///x.db or postgresql://user@host/db'),
        str(HpsearchError(f"{form}: cannot be read")),
    ):
        assert SECRET not in text
        assert "***" in text or "password" not in text
        assert without_secrets(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:///hpsearch.db or postgresql://user@host/database",
        "sqlite:////home/anna@lab/x.db: no such database file",
        "s.toml:4:1: space.batch_norm: a batch of one row has no variance",
        "http://localhost:8080/path and mail to anna@host",
        "C:\\data\\x.db",
        "postgresql://anna@host:5432/db",
    ],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert without_secrets(text) == text


def test_every_place_of_the_command_line_hides_it(tmp_path: Path) -> None:
    for words in PLACES:
        for form in FORMS[::3]:
            found = said([word.format(form) for word in words], tmp_path)
            assert found.code in (0, 1, 2, 3), found
            assert SECRET not in found.out + found.err, (words, form, found)


def test_one_in_a_process_of_its_own(tmp_path: Path) -> None:
    done = hpsearch("run", "x", f"--storage{FORMS[0]}", cwd=tmp_path)
    assert done.returncode == 2
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize("part", ["a", ":", ":/", "a:", "@", "password=", "'", " ", "a:b@", "%20"])
def test_hiding_takes_linear_time(part: str) -> None:
    start = perf_counter()
    without_secrets(part * 20_000)
    assert perf_counter() - start < 5
