"""Study files: what is accepted, and that every complaint names file, line, key, expectation and fix."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.errors import HpsearchError, StudyFileError
from hpsearch.records import Task
from hpsearch.study.file import Study, load_study, study_from_document
from hpsearch.study.hyperparameters import HYPER_PARAMETERS
from hpsearch.study.positions import Positions
from hpsearch.study.space import Choice, Fixed, Range, read_space

STUDIES = sorted((Path(__file__).parents[1] / "studies").glob("*.toml"))
SMALL = '[data]\nsource = "digits"\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "s.toml"
    path.write_text(text, encoding="utf-8")
    return path


def complaints(folder: Path, text: str, overrides: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(StudyFileError) as caught:
        load_study(write(folder, text), overrides)
    return [str(c).replace(f"{folder}/", "") for c in caught.value.complaints]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_studies_that_come_with_it_are_sound(path: Path) -> None:
    study = load_study(path)
    assert study.name == path.stem
    assert study.space.searched or study.space.entries


def test_a_study_of_two_lines_has_a_default_for_everything(tmp_path: Path) -> None:
    study = load_study(write(tmp_path, SMALL))
    assert study.name == "s"
    assert (study.search.sampler, study.search.stopping, study.train.epochs) == ("tpe", "halving", 27)
    assert study.space.configuration({}).layers == (64,)


def test_plain_values_lists_and_ranges(tmp_path: Path) -> None:
    study = load_study(
        write(
            tmp_path,
            SMALL
            + """
[space]
learning_rate = { low = 1e-4, high = 1, log = true }
momentum = { low = 0, high = 0.9, step = 0.3 }
depth = { low = 1, high = 5 }
batch_size = [16, 32]
activation = "tanh"
nesterov = [true, false]
width = [48]
""",
        )
    )
    entries = study.space.entries
    assert entries["learning_rate"] == Range(1e-4, 1.0, log=True)
    assert entries["momentum"] == Range(0.0, 0.9, step=0.3)
    assert entries["depth"] == Range(1, 5, integer=True)
    assert isinstance(entries["depth"].low, int)
    assert entries["batch_size"] == Choice((16, 32))
    assert entries["activation"] == Fixed("tanh")
    assert entries["width"] == Fixed(48)
    assert list(study.space.searched) == ["learning_rate", "momentum", "depth", "batch_size", "nesterov"]


@pytest.mark.parametrize(
    ("written", "layers"),
    [
        ("hidden = [100, 50, 50]", {(100, 50, 50)}),
        ("hidden = [[100, 50], [200], []]", {(100, 50), (200,), ()}),
        ("hidden = []", {()}),
    ],
)
def test_hidden_stands_for_depth_and_width(tmp_path: Path, written: str, layers: set[object]) -> None:
    study = load_study(write(tmp_path, SMALL + "[space]\n" + written))
    values = study.space.values("hidden")
    assert values is not None
    assert {study.space.configuration({"hidden": v}).layers for v in values} == layers


BAD = [
    ("unknown key", SMALL + "taget = 1", "s.toml:3:1: data.taget: unknown key; did you mean \"target\"?"),
    ("missing source", "[data]\n", "s.toml:1:1: data.source: is missing; expected a built-in name, or the path"),
    ("unknown table", SMALL + "[serch]\n", "s.toml:3:1: serch: unknown table; did you mean \"search\"?"),
    ("table wanted", SMALL.replace("[data]", "train = 3\n[data]"), "s.toml:1:1: train: expected a table [train]; found 3"),
    ("unknown parameter", SMALL + "[space]\nactivaton = 1", 's.toml:4:1: space.activaton: unknown hyper-parameter; did you mean "activation"?'),
    ("unknown activation", SMALL + '[space]\nactivation = ["rleu"]', 's.toml:4:1: space.activation: expected one of relu, leaky_relu, prelu, elu, gelu, silu, tanh, sigmoid, maxout, none; found "rleu"; did you mean "relu"?'),
    ("empty range", SMALL + "[space]\nmomentum = {low = 0.5, high = 0.5}", "s.toml:4:1: space.momentum: an empty range: low and high are both 0.5; write 0.5 to fix the value"),
    ("reversed range", SMALL + "[space]\ndepth = {low = 5, high = 1}", "s.toml:4:1: space.depth: a reversed range: low 5 is above high 1"),
    ("log with 0", SMALL + "[space]\nweight_decay = {low = 0, high = 1, log = true}", "s.toml:4:1: space.weight_decay: a log range needs low above 0; found 0"),
    ("half a range", SMALL + "[space]\ndepth = {low = 5}", "s.toml:4:1: space.depth: a range needs low and high; missing: high"),
    ("misspelt in a range", SMALL + "[space]\ndepth = {low = 1, hihg = 5, high = 4}", 's.toml:4:19: space.depth.hihg: unknown key; did you mean "high"?'),
    ("log and step", SMALL + "[space]\ndepth = {low = 1, high = 8, log = true, step = 2}", "s.toml:4:41: space.depth.step: a log range cannot have a step; leave out one of the two"),
    ("fractional depth", SMALL + "[space]\ndepth = 2.5", "s.toml:4:1: space.depth: expected a whole number of at least 1 and at most 64; found 2.5"),
    ("true is no number", SMALL + "[space]\ndepth = true", "s.toml:4:1: space.depth: expected a whole number of at least 1 and at most 64; found true"),
    ("not a number", SMALL + "[space]\nlearning_rate = nan", "s.toml:4:1: space.learning_rate: expected a number above 0; found nan"),
    ("momentum 1", SMALL + "[space]\nmomentum = 1.0", "s.toml:4:1: space.momentum: expected a number of at least 0 and below 1; found 1.0"),
    ("empty list", SMALL + "[space]\nbatch_size = []", 's.toml:4:1: space.batch_size: an empty list; expected "all" or a whole number of at least 1'),
    ("twice", SMALL + "[space]\nbatch_size = [8, 8]", "s.toml:4:1: space.batch_size: the value 8 is listed twice"),
    ("range of words", SMALL + "[space]\nactivation = {low = 1, high = 2}", "s.toml:4:1: space.activation: cannot be a range; expected one of relu"),
    ("maxout with 1 piece", SMALL + '[space]\nactivation = "maxout"\nmaxout.pieces = 1', "s.toml:5:1: space.maxout.pieces: expected a whole number of at least 2; found 1"),
    ("dropout 1", SMALL + "[space]\ndropout = 1.0", "s.toml:4:1: space.dropout: expected a number of at least 0 and below 1; found 1.0"),
    ("pieces of nothing", SMALL + '[space]\nactivation = ["relu", "tanh"]\nmaxout.pieces = 2', 's.toml:5:1: space.maxout.pieces: has no effect here: it applies to activation "maxout"; found activation "relu" or "tanh"'),
    ("momentum for adam", SMALL + '[space]\noptimizer = "adam"\nmomentum = 0.9', 's.toml:5:1: space.momentum: has no effect here: it applies to optimizer "sgd"; found optimizer "adam"'),
    ("a rate for nobody", SMALL + '[space]\nlearning_rate = 0.1\nsgd.learning_rate = 0.2', "s.toml:4:1: space.learning_rate: has no effect here: every optimizer has its own learning_rate; leave out one of the two"),
    ("misspelt behind a dot", SMALL + '[space]\noptimizer = ["sgd", "adam"]\nadam.learning_rat = 0.1', 's.toml:5:1: space.adam.learning_rat: unknown hyper-parameter; did you mean "adam.learning_rate"?'),
    ("batch norm of one row", SMALL + "[space]\nbatch_norm = true\nbatch_size = [1, 8]", "s.toml:4:1: space.batch_norm: a batch of one row has no variance; leave out batch_size 1 or batch_norm"),
    ("half a batch", SMALL + '[space]\nbatch_size = [8, "al"]', 's.toml:4:1: space.batch_size: expected "all" or a whole number of at least 1; found "al"'),
    ("hidden and depth", SMALL + "[space]\nhidden = [5]\ndepth = 2", 's.toml:5:1: space.depth: "hidden" already sets the layers; leave out one of the two'),
    ("searched epochs", SMALL + "[space]\nepochs = [3, 9]", "s.toml:4:1: space.epochs: the number of epochs is not searched, because"),
    ("sampler", SMALL + '[search]\nsampler = "tpee"', 's.toml:4:1: search.sampler: expected one of random, qmc, grid, tpe, gp, cmaes, nsga2, nsga3, or an Optuna sampler such as optuna.samplers:TPESampler; found "tpee"; did you mean "tpe"?'),
    ("no trials", SMALL + "[search]\ntrials = 0", "s.toml:4:1: search.trials: expected greater than or equal to 1; found 0"),
    ("trials in words", SMALL + '[search]\ntrials = "many"', 's.toml:4:1: search.trials: expected integer; found "many"'),
    ("time limit", SMALL + '[search]\ntime_limit = "10 parsecs"', 's.toml:4:1: search.time_limit: expected a duration such as "90s", "10m" or "1h30m"; found "10 parsecs"'),
    ("min_epochs", SMALL + "[train]\nepochs = 3\n[search]\nmin_epochs = 9", "s.toml:6:1: search.min_epochs: 9 exceeds train.epochs = 3"),
    ("split", SMALL + "split = {valid = 0.6, test = 0.5}", "s.toml:3:1: data.split: valid and test together must leave rows for training: below 1"),
    ("name", '[study]\nname = "a b"\n' + SMALL, "s.toml:2:1: study.name: expected a name of letters, digits, '.', '_' and '-'; found \"a b\""),
    ("syntax", "[data\n", "s.toml:1:6: not valid TOML: expected ']' at the end of a table declaration"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_complaint_says_where_what_and_how(tmp_path: Path, text: str, expected: str) -> None:
    found = complaints(tmp_path, text)
    assert len(found) == 1
    assert found[0].startswith(expected)


def test_all_complaints_come_at_once_in_the_files_order(tmp_path: Path) -> None:
    found = complaints(
        tmp_path, "[study]\nsed = 1\n[space]\ndepth = 0\nwidth = 0\n[data]\n[train]\nepochs = 0\n"
    )
    assert [c.split(": ")[1] for c in found] == [
        "study.sed",
        "space.depth",
        "space.width",
        "data.source",
        "train.epochs",
    ]


def test_overrides_apply_and_are_named_in_complaints(tmp_path: Path) -> None:
    path = write(tmp_path, SMALL)
    study = load_study(path, ["space.width=32", "search.sampler=random", "space.activation=['relu', 'elu']"])
    assert study.space.entries["width"] == Fixed(32)
    assert study.search.sampler == "random"
    assert study.space.entries["activation"] == Choice(("relu", "elu"))
    found = complaints(tmp_path, SMALL, ("space.width=0",))
    assert found == ["--set space.width=0: space.width: expected a whole number of at least 1; found 0"]
    for bad in ("width", "qqq=3", "=3", ".a=3"):
        assert "expected SECTION.KEY=VALUE" in complaints(tmp_path, SMALL, (bad,))[0]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda path: None, "no such study file"),
        (lambda path: path.mkdir(), "expected a study file; found a folder"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "expected UTF-8 text; found byte 0xff at offset 0"),
    ],
)
def test_unreadable_files(tmp_path: Path, make: object, expected: str) -> None:
    path = tmp_path / "s.toml"
    make(path)  # type: ignore[operator]
    with pytest.raises(HpsearchError, match=expected):
        load_study(path)


def test_loss_and_metric_must_fit_the_task(tmp_path: Path) -> None:
    study = load_study(write(tmp_path, SMALL + '[train]\nloss = "mse"\nmetric = "r2"'))
    with pytest.raises(StudyFileError) as caught:
        study.resolve(Task.MULTICLASS)
    assert len(caught.value.complaints) == 2
    assert (
        's.toml:4:1: train.loss: "mse" does not fit a multiclass task; expected one of cross_entropy'
        in str(caught.value)
    )
    assert study.resolve(Task.REGRESSION).direction == "maximize"


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_stored_document_gives_the_same_study(path: Path) -> None:
    study = load_study(path).resolve(Task.REGRESSION if path.stem in ("diabetes", "penguins") else Task.BINARY
                                     if path.stem in ("breast-cancer", "xor", "lecture") else Task.MULTICLASS)  # fmt: skip
    document = json.loads(json.dumps(study.document()))
    again = study_from_document(document)
    assert again.document() == study.document()
    assert again.space.searched == study.space.searched
    assert again.space.configuration(_some(study)) == study.space.configuration(_some(study))


def _some(study: Study) -> dict[str, object]:
    return {n: e.values[0] if isinstance(e, Choice) else e.low for n, e in study.space.searched.items()}


NUMERIC = [p for p in HYPER_PARAMETERS.values() if p.numeric]


@given(parameter=st.sampled_from(NUMERIC), low=st.floats(), high=st.floats(), log=st.booleans())
def test_a_range_is_taken_or_refused_but_never_wrong(parameter, low, high, log) -> None:  # type: ignore[no-untyped-def]
    """Whatever bounds are written: either complaints, or a range whose ends are legal values in order."""
    if parameter.kind == "int" and low - low == 0 and high - high == 0:
        low, high = int(max(-1e9, min(1e9, low))), int(max(-1e9, min(1e9, high)))
    found: list[str] = []
    of, wanted = parameter.applies or ("activation", ("relu",))  # a use for it
    space = read_space(
        {of: wanted[0], parameter.name: {"low": low, "high": high, "log": log}},
        lambda key, text: found.append(text),
    )
    if found:
        assert set(space.entries) == {of}
        return
    entry = space.entries[parameter.name]
    assert isinstance(entry, Range)
    assert entry.low < entry.high
    assert parameter.accepts(low)
    assert parameter.accepts(high)
    assert not (entry.log and entry.low <= 0)


def test_positions_of_keys_in_all_notations() -> None:
    text = '# [no]\n[a]\nx = 1 # y = 2\n"q r" = "z = 3"\nm = [\n  1,\n]\nn = { p = 1, q = { r = 2 } }\n[b.c]\n  d.e = 1\n'
    positions = Positions(text)
    assert positions.find(("a", "x")) == (3, 1)
    assert positions.find(("a", "q r")) == (4, 1)
    assert positions.find(("a", "n", "p")) == (8, 7)
    assert positions.find(("b", "c", "d", "e")) == (10, 3)
    assert positions.find(("a", "y")) == (2, 1)
    assert positions.find(("zz",)) is None
