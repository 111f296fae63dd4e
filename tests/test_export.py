"""Models in files: the trainer's numbers in every kind of network, in ONNX, and what damaged files say."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load, save
from typer.testing import Result

import hpsearch
from hpsearch.data.columns import Columns
from hpsearch.errors import HpsearchError
from hpsearch.model.export import write_model
from hpsearch.model.files import ABOUT, ONNX, WEIGHTS
from hpsearch.model.model import Model
from hpsearch.model.onnx_graph import onnx_bytes
from hpsearch.records import Task
from hpsearch.results.scorings import confirmation_of
from hpsearch.retrain.reload import retrain
from hpsearch.running.prepare import make_problem as problem_of
from hpsearch.store import Database
from hpsearch.study.hyperparameters import ACTIVATIONS, Configuration
from hpsearch.train import Lane, train_lanes
from hpsearch.train.layers import Layer, arrays_of, build, layers_of, shapes_of
from hpsearch.train.predicting import Goal
from hpsearch.train.solo import build_model
from tests.model_study import CLASSES, STUDY, Trained, run_table
from tests.problems import make_problem
from tests.studies import url
from tests.whole_study import call

FEATURES = 7
NETWORKS = [
    Configuration(activation=activation, batch_norm=batch_norm, depth=3, width=6, dropout=0.3)
    for activation, batch_norm in itertools.product(ACTIVATIONS, (False, True))
] + [
    Configuration(activation="prelu", slopes="unit", depth=3, width=4),
    Configuration(activation="maxout", pieces=3, depth=2, width=5, batch_norm=True),
    Configuration(activation="leaky_relu", alpha=0.3, bias=False, hidden="9-3"),
    Configuration(activation="elu", alpha=0.7, depth=2),
    Configuration(depth=1),
    Configuration(depth=1, bias=False),
]
LOSSES = {
    Task.BINARY: ("bce", "identity"),
    Task.MULTICLASS: ("cross_entropy", "identity"),
    Task.REGRESSION: ("mse", "identity"),
    Task.POSITIVE_REGRESSION: ("softplus_mse", "softplus"),
}


def trained_model(
    task: Task, configuration: Configuration, representation: str | None = None
) -> tuple[Model, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A model of a few epochs, rows, and the reference's raw outputs for them."""
    loss, means = LOSSES[task]
    problem = make_problem(loss, rows=60, features=FEATURES)
    configuration = replace(configuration, batch_size=20, learning_rate=0.05)
    (result,) = train_lanes(problem, [Lane(0, configuration)], 2)
    assert result.state is not None
    sizes = FEATURES, configuration, problem.outputs
    names = tuple(f"x{n}" for n in range(FEATURES))
    ones, zeros = (1.0,) * FEATURES, (0.0,) * FEATURES
    model = Model(
        Goal(task, 0.0 if means == "softplus" else 3.5, 2.5, loss, problem.metric, representation or means),  # type: ignore[arg-type]
        "y",
        {Task.BINARY: ("no", "yes"), Task.MULTICLASS: ("a", "b", "c")}.get(task, ()),
        Columns(names, zeros, zeros, ones, (), ()),
        (),
        tuple(layers_of(*sizes)),
        arrays_of(*sizes, result.state),
        {"validation": {"metric": problem.metric, "value": 1.0, "exported": 1.0}},
    )
    reference = build_model(problem, configuration, result.state).eval()
    with torch.no_grad():
        outputs = reference(torch.from_numpy(problem.x_valid)).numpy()
    return model, problem.x_valid, outputs


@pytest.mark.parametrize("configuration", NETWORKS, ids=lambda c: f"{c.activation}-{c.batch_norm}-{c.bias}")
def test_every_network_gives_the_outputs_of_the_reference(
    configuration: Configuration, tmp_path: Path
) -> None:
    model, x, expected = trained_model(Task.MULTICLASS, configuration)
    write_model(model, tmp_path)
    read = hpsearch.load_model(tmp_path)
    assert np.array_equal(read.outputs(x), expected)
    assert read.layers == model.layers
    frame = read.predict(pd.DataFrame(x, columns=read.features))
    shares = torch.from_numpy(expected).double().softmax(1).numpy()
    np.testing.assert_allclose(frame[["p_a", "p_b", "p_c"]], shares, rtol=1e-12)


@pytest.mark.parametrize("configuration", NETWORKS, ids=lambda c: f"{c.activation}-{c.batch_norm}-{c.bias}")
def test_onnx_says_what_the_model_says(configuration: Configuration) -> None:
    assert_onnx_agrees(*trained_model(Task.MULTICLASS, configuration))


@pytest.mark.parametrize(
    ("task", "representation"), [*((task, None) for task in Task), (Task.POSITIVE_REGRESSION, "relu")]
)
def test_onnx_has_what_the_outputs_stand_for(task: Task, representation: str | None) -> None:
    assert_onnx_agrees(*trained_model(task, NETWORKS[0], representation))


def assert_onnx_agrees(model: Model, x: np.ndarray[Any, Any], outputs: np.ndarray[Any, Any]) -> None:
    pytest.importorskip("onnx", reason="pip install hpsearch[onnx]")
    runtime = pytest.importorskip("onnxruntime", reason="pip install onnxruntime")
    session = runtime.InferenceSession(onnx_bytes(model), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"features": x})
    expected = model.represented(outputs)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    (one,) = session.run(None, {"features": x[:1]})
    np.testing.assert_allclose(one, expected[:1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (Task.BINARY, lambda o: np.hstack([1 / (1 + np.exp(o)), 1 / (1 + np.exp(-o))])),
        (Task.REGRESSION, lambda o: 3.5 + 2.5 * o[:, 0]),
        (Task.POSITIVE_REGRESSION, lambda o: 2.5 * np.log1p(np.exp(o[:, 0]))),
    ],
)
def test_outputs_are_what_the_task_takes_them_for(task: Task, expected: Callable[[Any], Any]) -> None:
    model, x, outputs = trained_model(task, NETWORKS[0])
    found = model.represented(model.outputs(x))
    np.testing.assert_allclose(found, expected(outputs.astype(np.float64)), rtol=1e-9)


@pytest.mark.parametrize("task", list(Task))
def test_the_ten_lines_run_as_they_are_printed(task: Task, tmp_path: Path) -> None:
    model, _, _ = trained_model(task, NETWORKS[0])
    folder = tmp_path / 'a "quoted" folder\'s ünï\n'
    lines = write_model(model, folder).snippet
    assert len(lines.splitlines()) == 10
    done = subprocess.run(
        [sys.executable, "-c", lines], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    numbers = done.stdout.split("tensor(")[1].split("]]")[0].strip("[\n ").split(",")
    expected = model.represented(model.outputs(np.zeros((1, FEATURES), np.float32))).reshape(-1)
    shown = [float(number) for number in numbers]
    np.testing.assert_allclose(shown, expected[-len(shown) :], rtol=1e-3, atol=1e-4)
    assert "hpsearch" not in lines.replace(str(tmp_path), "")


# -- the command ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return run_table(tmp_path_factory.mktemp("export"), "multiclass")[0]


def export(trained: Trained, *words: object, code: int = 0) -> Result:
    return call("export", "model", "--storage", url(trained.database), *words, code=code)


def test_export_writes_the_best_trial_and_where_it_comes_from(trained: Trained, tmp_path: Path) -> None:
    result = export(trained, "--no-refit", "--out", tmp_path / "new" / "m")
    folder = tmp_path / "new" / "m"
    assert sorted(path.name for path in folder.iterdir()) == [ABOUT, WEIGHTS]
    document = json.loads((folder / ABOUT).read_text())
    trial, about = trained.trial, document["provenance"]
    assert about["trial"] == {
        "study": "model",
        "number": trial.number,
        "epoch": trial.best_epoch,
        "params": trial.params,
        "weights_drawn_for": trial.number,
    }
    assert about["validation"]["value"] == about["validation"]["exported"] == trial.value
    assert about["run"]["data"] == trained.record.data_hash
    assert document["classes"] == sorted(CLASSES)
    assert set(load((folder / WEIGHTS).read_bytes())) == set(document["network"]["tensors"])
    assert f"trial {trial.number} after epoch {trial.best_epoch}: validation accuracy" in result.stderr
    assert "\x1b" not in result.output
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    export(trained, "--no-refit", "--out", folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_any_trial_can_be_exported(trained: Trained, tmp_path: Path) -> None:
    other = 1 if trained.trial.number == 0 else 0
    export(trained, "--trial", other, "--no-refit", "--out", tmp_path)
    model = hpsearch.load_model(tmp_path)
    assert model.about["trial"]["number"] == other
    again = model.goal.score(model.outputs(trained.dataset.valid.x), trained.dataset.valid.y)
    assert again == pytest.approx(model.about["validation"]["value"])
    with pytest.raises(HpsearchError, match="found --trial 99"):
        export(trained, "--trial", 99)


def test_the_best_confirmed_trial_is_preferred(trained: Trained, tmp_path: Path) -> None:
    database = tmp_path / "x.db"
    database.write_bytes(trained.database.read_bytes())
    call("confirm", "model", "--storage", url(database), "--top", 3, "--seeds", 3)
    result = call("export", "model", "--storage", url(database), "--out", tmp_path / "m")
    with Database.open(url(database)) as opened:
        store = opened.study("model")
        found = confirmation_of(store.record, store.trials(), store.scorings())
    assert found is not None
    about = hpsearch.load_model(tmp_path / "m").about
    assert about["trial"]["number"] == found.best.trial
    assert about["confirmed"]["mean"] == pytest.approx(np.nanmean(found.best.scores))
    assert "mean of 3 fresh seeds): expect about that, not scored itself" in result.stderr


def test_a_refitted_model_is_trained_on_validation_rows_too(trained: Trained, tmp_path: Path) -> None:
    """For the epochs of the trial, from its own first weights; features stay those of the training rows."""
    result = export(trained, "--out", tmp_path / "m")
    model = hpsearch.load_model(tmp_path / "m")
    train, valid, trial = trained.dataset.train, trained.dataset.valid, trained.trial
    assert trial.best_epoch is not None
    rows = len(train) + len(valid)
    assert model.about["refit"] == {"rows": rows, "epochs": trial.best_epoch}
    assert model.about["validation"]["exported"] is None
    assert f"refitted on {rows:,} training and validation rows for {trial.best_epoch} epochs" in result.stderr
    assert "not scored itself" in result.stderr
    both = replace(
        problem_of(trained.study, trained.dataset, "cpu"),
        x_train=np.concatenate([train.x, valid.x]),
        y_train=np.concatenate([train.y, valid.y]),
    )
    state = retrain(trained.study, both, trial, trial.best_epoch)
    network = build_model(both, trained.study.space.configuration(trial.params), state).eval()
    x = trained.dataset.test.x
    with torch.no_grad():
        expected = network(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(model.outputs(x), expected, rtol=1e-4, atol=1e-5)
    assert model.form == hpsearch.load_model(unrefitted(trained, tmp_path)).form


def unrefitted(trained: Trained, folder: Path) -> Path:
    export(trained, "--no-refit", "--out", folder / "own")
    return folder / "own"


def test_onnx_is_written_when_asked_for_and_never_left_behind(trained: Trained, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="pip install hpsearch[onnx]")
    export(trained, "--onnx", "--out", tmp_path)
    assert (tmp_path / ONNX).is_file()
    result = export(trained, "--trial", 1, "--out", tmp_path)
    assert not (tmp_path / ONNX).exists()
    assert "left by an earlier export" in result.stderr


def test_a_missing_package_is_named(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(HpsearchError, match=r'pip install "hpsearch\[onnx\]"'):
        export(trained, "--onnx", "--out", tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_trial_without_a_best_epoch_has_no_model(tmp_path: Path) -> None:
    text = STUDY.format(source="'xor'", data="", train="").replace("high = 0.1", "high = 1e30")
    text = text.replace("low = 0.01", "low = 1e29").replace('["tanh", "relu", "silu"]', '"relu"')
    (tmp_path / "m.toml").write_text(text.replace("[true, false]", "false"))
    hpsearch.run(tmp_path / "m.toml", storage=url(tmp_path / "x.db"), confirm=False)
    with pytest.raises(HpsearchError, match=r"trial 0 has no best epoch.*diverged"):
        call("export", "model", "--trial", 0, "--storage", url(tmp_path / "x.db"), "--out", tmp_path / "m")
    with pytest.raises(HpsearchError, match="there is no model to export") as caught:
        call("export", "model", "--storage", url(tmp_path / "x.db"), "--out", tmp_path / "m")
    assert caught.value.exit_code == 3
    assert not (tmp_path / "m").exists()


def test_a_folder_that_cannot_be_made_is_said(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HpsearchError, match="cannot be written"):
        export(trained, "--out", tmp_path / "file")


# -- damaged and foreign files -------------------------------------------------------------------


def changed(folder: Path, *keys: Any, value: Any) -> None:
    """Set what lies below keys in the JSON file; `...` removes it."""
    document = json.loads((folder / ABOUT).read_text())
    place = document
    for key in keys[:-1]:
        place = place[key]
    if value is ...:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    (folder / ABOUT).write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("keys", "value", "expected"),
    [
        (("format",), "hpsearch.model/2", "another version of hpsearch: load it with that one, or upgrade"),
        (("format",), "hpsearch.report/1", 'expected the format "hpsearch.model/1"'),
        (("format",), ..., "found null"),
        (("task",), "ranking", "task: expected one of binary"),
        (("classes",), ["a", "a", "b"], "classes: expected the different classes"),
        (("classes",), [], "classes: expected the different classes|layers that end"),
        (("output",), "sigmoid", "output: expected one of softmax"),
        (("metric",), "rmse", "metric: expected one of accuracy"),
        (("target", "std"), 0, "target.std: expected a number above 0; found 0"),
        (("target", "mean"), float("nan"), "target.mean: expected a number; found NaN"),
        (("target", "mean"), 10**400, "target.mean: expected a number; found 1000"),
        (("preprocessing", "numeric", 0, "scale"), "1", r"numeric\[0\].scale: expected a number; found"),
        (("preprocessing", "numeric"), {}, "preprocessing.numeric: expected a list"),
        (("preprocessing", "features", 0), "other", "preprocessing.features: expected the features"),
        (("preprocessing", "constant"), [99], "constant: expected places of features"),
        (("preprocessing", "kind"), "pictures", "preprocessing.height is missing"),
        (("network", "layers", 0, "module"), "Embedding", "module: expected one of BatchNorm1d"),
        (("network", "layers", 0, "arguments"), [10**12, 8], "expected a layer for 16 units"),
        (("network", "layers", 0, "arguments"), [], "expected the arguments of torch.nn.Linear"),
        (("network", "layers"), [], "layers that end in a Linear with 3 outputs"),
        (("weights", "file"), "../m/model.safetensors", "the name of a file beside this one"),
        (("weights", "file"), "none", "cannot be read"),
        (("weights", "sha256"), "0" * 64, "found different or damaged ones"),
        (("provenance",), [], "provenance: expected an object"),
    ],
)
def test_a_changed_model_says_what_is_wrong(
    trained: Trained, tmp_path: Path, keys: tuple[Any, ...], value: Any, expected: str
) -> None:
    trained.export(tmp_path)
    changed(tmp_path, *keys, value=value)
    with pytest.raises(HpsearchError, match=expected) as caught:
        hpsearch.load_model(tmp_path / ABOUT)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'"hpsearch.model/1"'])
def test_a_file_that_is_no_model_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / ABOUT).write_bytes(content)
    with pytest.raises(HpsearchError, match=r"expected an hpsearch model|expected the format"):
        hpsearch.load_model(tmp_path)


def test_weights_of_other_shapes_are_refused(trained: Trained, tmp_path: Path) -> None:
    model = trained.export(tmp_path)
    name = "layers.0.weight"
    for arrays, expected in (
        ({**model.arrays, name: model.arrays[name].T.copy()}, f'"{name}" of the shape'),
        ({key: array for key, array in model.arrays.items() if key != name}, "found None"),
        ({**model.arrays, name: model.arrays[name].astype(np.float64)}, "float32"),
        ({**model.arrays, name: model.arrays[name] * np.float32("nan")}, "finite weights"),
    ):
        replace_weights(tmp_path, save({key: np.ascontiguousarray(each) for key, each in arrays.items()}))
        with pytest.raises(HpsearchError, match=expected):
            hpsearch.load_model(tmp_path)
    replace_weights(tmp_path, b"\x08" + b"\0" * 20)
    with pytest.raises(HpsearchError, match="not a safetensors file"):
        hpsearch.load_model(tmp_path)
    with pytest.raises(HpsearchError, match="cannot be read"):
        hpsearch.load_model(tmp_path / "nowhere")


def replace_weights(folder: Path, content: bytes) -> None:
    (folder / WEIGHTS).write_bytes(content)
    changed(folder, "weights", "sha256", value=sha256(content).hexdigest())


def test_a_flipped_bit_is_found(trained: Trained, tmp_path: Path) -> None:
    trained.export(tmp_path)
    content = bytearray((tmp_path / WEIGHTS).read_bytes())
    content[-5] ^= 1
    (tmp_path / WEIGHTS).write_bytes(bytes(content))
    with pytest.raises(HpsearchError, match="damaged"):
        hpsearch.load_model(tmp_path)


def test_layers_are_torchs_own() -> None:
    layers = [Layer("Linear", (3, 4)), Layer("MaxPool1d", (2,)), Layer("Linear", (2, 1, False))]
    network = build(layers, {n: np.ones(s, np.float32) for n, s in shapes_of(layers).items()})
    names = {f"layers.{name}": tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert names == shapes_of(layers)
