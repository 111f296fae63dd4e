"""The lecture's run against a loop that shares no code with hpsearch but the random numbers."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from hpsearch.running.prepare import make_problem, prepare
from hpsearch.study.file import load_study
from hpsearch.train import Lane, initial_state, train_lanes

ROOT = Path(__file__).parents[1]
PICTURES = ROOT.parent / "shared/data/cats-dogs-cifar32/cats-dogs-cifar32.zip"
EPOCHS = 2


@pytest.mark.skipif(not PICTURES.exists(), reason="the pictures are not here: ../shared/data")
@pytest.mark.parametrize("last_batch", ["drop", "keep"])
def test_the_lectures_run_is_what_a_plain_torch_loop_computes(last_batch: str) -> None:
    overrides = [f'data.source="{PICTURES}"', "data.n_images=1500", f'train.last_batch="{last_batch}"']
    study, dataset = prepare(load_study(ROOT / "studies/lecture.toml", overrides))
    problem = make_problem(study, dataset, "cpu")
    configuration = study.space.configuration({})
    state = initial_state(problem, 0, configuration)
    (result,) = train_lanes(problem, [Lane(0, configuration)], EPOCHS)

    x, y, x_valid, y_valid = (
        torch.from_numpy(a.copy())
        for a in (dataset.train.x, dataset.train.y, dataset.valid.x, dataset.valid.y)
    )
    model = nn.Sequential(
        nn.Linear(3072, 100),
        nn.ReLU(),
        nn.Linear(100, 50),
        nn.ReLU(),
        nn.Linear(50, 50),
        nn.ReLU(),
        nn.Linear(50, 1),
    )
    at = 0
    for layer in model[::2]:
        i, o = layer.in_features, layer.out_features
        layer.weight.data = torch.from_numpy(state.parameters[at : at + i * o].reshape(i, o).T.copy())
        layer.bias.data = torch.from_numpy(state.parameters[at + i * o : at + i * o + o].copy())
        at += i * o + o
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    criterion = nn.BCEWithLogitsLoss()
    for epoch in range(1, EPOCHS + 1):
        order = torch.from_numpy(problem.order(epoch).copy())
        batches = order.split(128)
        if last_batch == "drop" and len(batches[-1]) < 128:
            batches = batches[:-1]
        losses, correct, seen = 0.0, 0, 0
        for rows in batches:
            optimizer.zero_grad()
            o = model(x[rows])[:, 0]
            loss = criterion(o, y[rows])
            loss.backward()
            optimizer.step()
            losses += loss.item() * len(rows)
            correct += int(((o > 0) == (y[rows] > 0)).sum())
            seen += len(rows)
        with torch.no_grad():
            o = model(x_valid)[:, 0]
            valid_loss, accuracy = (
                criterion(o, y_valid).item(),
                ((o > 0) == (y_valid > 0)).double().mean().item(),
            )
        assert seen == (len(order) // 128 * 128 if last_batch == "drop" else len(order))
        expected = [losses / seen, correct / seen, valid_loss, accuracy]
        np.testing.assert_allclose(result.curve[epoch - 1, :4], expected, rtol=1e-4)


@pytest.mark.skipif(not PICTURES.exists(), reason="the pictures are not here: ../shared/data")
def test_pictures_are_pixels_standardised_by_channel() -> None:
    """Mean 0 and deviation 1 of each channel in the training set; a row is one of the zip's pictures."""
    overrides = [f'data.source="{PICTURES}"', "data.n_images=600"]
    _, dataset = prepare(load_study(ROOT / "studies/lecture.toml", overrides))
    channels = dataset.train.x.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(channels.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(channels.std(0), 1, atol=1e-4)
    ours = dataset.pictures(dataset.test.x[:1])[0]
    with zipfile.ZipFile(PICTURES) as archive:
        names = [name for name in archive.namelist() if name.startswith("test/") and name.endswith(".jpg")]
        decoded = (np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in names)
        assert any(np.array_equal(ours, picture) for picture in decoded)
