"""`curves --tensorboard`: what TensorBoard itself reads from the files."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, get_experiment, list_session_groups
from tensorboard.plugins.hparams.backend_context import Context
from typer.testing import CliRunner

from hpsearch.cli.app import app
from hpsearch.errors import HpsearchError
from hpsearch.extras.tensorboard import EVENTS, event_files, folder_name, optimiser_steps
from hpsearch.files import write_files
from hpsearch.records import Cohort, FloatArray, Segment, State, StudyRecord, Trial
from hpsearch.store import Database
from tests.report_study import EPOCHS, RECORD, example

ROWS = 1078
_RECORD = replace(RECORD, data_summary={"rows": {"train": ROWS, "valid": 359, "test": 360}})
_, TRIALS, CURVES = example(40)


def export(
    folder: Path,
    record: StudyRecord = _RECORD,
    trials: list[Trial] = TRIALS,
    curves: dict[int, FloatArray] = CURVES,
) -> None:
    files = event_files(record, trials, curves, now=1e9)
    write_files({folder / path: content for path, content in files.items()}, parents=True)


def scalars(folder: Path) -> dict[str, tuple[list[int], list[float]]]:
    """tag → steps and values of a run."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    found = {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
    return {tag: ([e.step for e in series], [e.value for e in series]) for tag, series in found.items()}


def table(folder: Path) -> tuple[Any, list[Any]]:
    """TensorBoard's HParams page: the experiment, and its rows."""
    runs = EventMultiplexer().AddRunsFromDirectory(str(folder))
    runs.Reload()
    context = Context(TBContext(data_provider=MultiplexerDataProvider(runs, str(folder))))
    request = api_pb2.ListSessionGroupsRequest(slice_size=100, allowed_statuses=[0, 1, 2, 3])
    experiment = get_experiment.Handler(RequestContext(), context, "", api_pb2.GetExperimentRequest()).run()
    groups = list_session_groups.Handler(RequestContext(), context, "", request).run()
    return experiment, list(groups.session_groups)


def plain(value: Any) -> Any:
    return getattr(value, value.WhichOneof("kind"))


def test_curves_come_back_as_they_are_stored(tmp_path: Path) -> None:
    """Every trial, also one that diverged to NaN, one that stopped and one that is running."""
    export(tmp_path)
    assert {trial.state for trial in TRIALS} == set(State)
    for trial in TRIALS:
        curve = CURVES[trial.number]
        epochs = list(range(1, len(curve) + 1))
        steps = [epoch * (ROWS // trial.params["batch_size"]) for epoch in epochs]
        for part, columns in (("train", (0, 1)), ("valid", (2, 3))):
            found = scalars(tmp_path / "digits" / f"trial-{trial.number:05}" / part)
            assert found.keys() == {"epoch/loss", "step/loss", "epoch/accuracy", "step/accuracy"}
            for name, column in zip(("loss", "accuracy"), columns, strict=True):
                wanted = curve[:, column].astype(np.float32)
                for axis, places in (("epoch", epochs), ("step", steps)):
                    at, values = found[f"{axis}/{name}"]
                    assert at == places
                    assert np.array_equal(np.float32(values), wanted, equal_nan=True)


def test_dead_units_and_a_ranked_loss(tmp_path: Path) -> None:
    curve = np.arange(12.0).reshape(2, 6)
    record = replace(_RECORD, metric="loss", direction="minimize")
    export(tmp_path, record, curves={3: curve})
    found = scalars(tmp_path / "digits" / "trial-00003" / "valid")
    by_epoch = {tag: values for tag, (_, values) in found.items() if tag.startswith("epoch/")}
    assert by_epoch == {"epoch/loss": [2, 8], "epoch/dead_1": [4, 10], "epoch/dead_2": [5, 11]}
    assert scalars(tmp_path / "digits" / "trial-00003" / "train")["epoch/loss"][1] == [0, 6]
    assert not (tmp_path / "digits" / "trial-00004").exists()


def test_values_beyond_single_precision_are_infinite(tmp_path: Path) -> None:
    export(tmp_path, curves={0: np.array([[1e300, 0.5, -np.inf, 0.5]])})
    assert scalars(tmp_path / "digits" / "trial-00000" / "train")["epoch/loss"][1] == [np.inf]
    assert scalars(tmp_path / "digits" / "trial-00000" / "valid")["epoch/loss"][1] == [-np.inf]


@pytest.mark.parametrize(
    ("batch_size", "last_batch", "steps"),
    [(32, None, 33), (32, "drop", 33), (32, "keep", 34), (11, "keep", 98), (5000, None, 1), ("all", None, 1)],
)
def test_steps_of_an_epoch(batch_size: int | str, last_batch: str | None, steps: int) -> None:
    train = {**_RECORD.document["train"], **({"last_batch": last_batch} if last_batch else {})}
    record = replace(_RECORD, document={**_RECORD.document, "train": train})
    assert optimiser_steps(record, batch_size) == steps


def test_the_hparams_page_has_every_trial_with_its_values(tmp_path: Path) -> None:
    export(tmp_path)
    experiment, rows = table(tmp_path / "digits")
    assert len(rows) == len(TRIALS)
    for row in rows:
        (session,) = row.sessions
        trial = TRIALS[int(session.name.removeprefix("trial-"))]
        values = {name: plain(value) for name, value in row.hparams.items()}
        assert {name: values[name] for name in trial.params} == pytest.approx(trial.params)
        assert values["nesterov"] is False  # a fixed one
        metrics = {(m.name.group, m.name.tag): (m.training_step, m.value) for m in session.metric_values}
        final = CURVES[trial.number][-1]
        for key, column in ((("valid", "epoch/accuracy"), 3), (("train", "epoch/loss"), 0)):
            assert metrics[key][0] == trial.epochs
            assert np.float32(metrics[key][1]) == pytest.approx(final[column], nan_ok=True)
        if trial.value is None:
            assert ("", "best/accuracy") not in metrics
        else:
            assert metrics["", "best/accuracy"] == (trial.best_epoch, pytest.approx(trial.value))
        failed = session.status == api_pb2.STATUS_FAILURE
        assert failed == (trial.state is State.FAILED)
    infos = {info.name: info for info in experiment.hparam_infos}
    assert infos.keys() >= {"learning_rate", "activation", "nesterov"}
    momentum = infos["momentum"].domain_interval
    assert (momentum.min_value, momentum.max_value) == (0, 0.95)
    sizes = [value.number_value for value in infos["batch_size"].domain_discrete.values]
    assert sizes == [16, 32, 64, 128, 256]
    shown = [metric.display_name for metric in experiment.metric_infos]
    assert shown[:3] == ["best valid accuracy", "final valid accuracy", "final valid loss"]


def test_values_of_several_kinds_and_empty_ones(tmp_path: Path) -> None:
    """`batch_size = [16, "all"]`, and no hidden layer."""
    space = {"learning_rate": 0.1, "batch_size": [16, "all"], "hidden": [[], [100, 50]]}
    record = replace(_RECORD, document={**_RECORD.document, "space": space})
    params = [{"batch_size": 16, "hidden": ""}, {"batch_size": "all", "hidden": "100-50"}]
    trials = [Trial(number, 0, p) for number, p in enumerate(params)]
    export(tmp_path, record, trials, {0: np.ones((2, 4)), 1: np.ones((2, 4))})
    experiment, rows = table(tmp_path / "digits")
    found = [tuple(plain(row.hparams[name]) for name in ("batch_size", "hidden")) for row in rows]
    assert sorted(found) == [("16", "linear"), ("all", "100-50")]
    assert scalars(tmp_path / "digits" / "trial-00001" / "train")["step/loss"][0] == [1, 2]
    domains = {info.name: [plain(v) for v in info.domain_discrete.values] for info in experiment.hparam_infos}
    assert domains["batch_size"] == ["16", "all"]


def test_no_name_leads_out_of_the_folder() -> None:
    names = [
        "",
        ".",
        "..",
        "../x",
        "..\\x",
        "/etc",
        "a/b",
        "a%2Fb",
        "C:x",
        ".hidden",
        "%2E",
        "ä b\n\x00",
        "-x",
    ]
    folders = [folder_name(name) for name in names]
    assert len({name.lower() for name in folders}) == len(names)
    for folder in folders:
        assert PurePath(folder).parts == (folder,)
        assert folder not in ("", ".", "..")
        assert set(folder) <= set("%._-~") | set(map(chr, range(48, 58))) | {c for c in folder if c.isalpha()}
        assert folder.isascii()
    assert folder_name("digits-2.a_b") == "digits-2.a_b"


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('storage') / 'studies.db'}"
    with Database.open(url, create=True) as database:
        store = database.create_study(_RECORD)
        store.begin()
        lanes = {trial.number: (0, EPOCHS) for trial in TRIALS}
        store.commit(cohort=Cohort(0, lanes), started=[Trial(t.number, 0, t.params) for t in TRIALS])
        segments = [Segment(number, 0, 1, curve) for number, curve in CURVES.items()]
        store.commit(segments=segments, updated=[replace(trial, cohort=0) for trial in TRIALS])
        store.end()
    return url


def curves(storage: str, *arguments: object) -> str:
    """What the command says on stderr; stdout stays empty."""
    result = CliRunner().invoke(app, ["curves", "digits", *map(str, arguments), "--storage", storage])
    if result.exception is not None:
        raise result.exception
    assert result.stdout == ""
    return result.stderr


def test_the_command_writes_the_trials_asked_for_once(storage: str, tmp_path: Path) -> None:
    for _ in range(2):
        said = curves(storage, "--trial", 7, "--trial", 2, "--tensorboard", tmp_path / "a" / "b")
    assert (
        said == f"wrote 2 trials; to look at them: tensorboard --logdir {tmp_path / 'a' / 'b' / 'digits'}\n"
    )
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    runs = ["", *(f"trial-{n:05}{part}" for n in (2, 7) for part in ("", "/train", "/valid"))]
    assert files == sorted(Path("a/b/digits") / run / EVENTS for run in runs)
    assert len(scalars(tmp_path / "a/b/digits/trial-00007/valid")["epoch/loss"][0]) == len(CURVES[7])


def test_without_a_trial_the_best_are_written(storage: str, tmp_path: Path) -> None:
    assert curves(storage, "--tensorboard", tmp_path).startswith("wrote 8 trials;")
    best = max((t for t in TRIALS if t.state is State.COMPLETE), key=lambda t: t.value or 0)
    assert (tmp_path / "digits" / f"trial-{best.number:05}" / "valid" / EVENTS).is_file()


def test_what_cannot_be_written_is_said(storage: str, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(
        HpsearchError, match=r"cannot be written: .*\. Choose another place with --tensorboard"
    ):
        curves(storage, "--tensorboard", tmp_path / "taken")
    with pytest.raises(HpsearchError, match="leave out --out and --format"):
        curves(storage, "--tensorboard", tmp_path / "new", "--format", "csv")
    with pytest.raises(HpsearchError, match="found --trial 99"):
        curves(storage, "--tensorboard", tmp_path / "new", "--trial", 99)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    assert (tmp_path / "taken").read_text() == "mine"


def test_without_the_package_it_says_how_to_get_it(storage: str, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['tensorboard'] = None; from hpsearch.cli.app import main; "
        "sys.argv[1:] = ['curves', 'digits', '--tensorboard', *sys.argv[1:]]; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x"), "--storage", storage],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "To install it: pip install 'hpsearch[tensorboard]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x").exists()
