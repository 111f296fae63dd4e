"""What planted studies teach is what was planted, and luck teaches nothing."""

from __future__ import annotations

import warnings
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from hpsearch.records import Curves, State, Trial
from hpsearch.reporting.blocks import TEXT, Table
from hpsearch.reporting.finalists import finalists_curves_grid, improving_line
from hpsearch.reporting.lessons import alone_blocks, importances_blocks, pair_blocks, verdict_blocks
from hpsearch.results.confirmation import Confirmation, Finalist, finalist_curves
from hpsearch.results.frames import Report
from hpsearch.results.lessons import Lessons, basis_of, lessons
from hpsearch.results.lessons.additive import factors, fit, holm
from hpsearch.results.lessons.effects import MATTERS, NOTHING_SEEN, SMALL, TOO_FEW, _tested
from hpsearch.results.lessons.roles import _expected, best_weights, verdicts
from tests.lessons_cases import SPACE, planted
from tests.report_study import RECORD, example
from tests.studies import finished_report

STUDIES = 100
AT_MOST = 0.05 + 2 * np.sqrt(0.05 * 0.95 / STUDIES)
"""A rate of 5 % and two standard errors of as many studies."""


def peak(u, random):
    """Best at learning rate 0.1; no other hyper-parameter does anything."""
    return -((u["learning_rate"] - 2 / 3) ** 2) + random.normal(0, 0.05, len(u["learning_rate"]))


def two(u, random):
    return 3 * u["learning_rate"] + u["momentum"] + random.normal(0, 0.3, len(u["momentum"]))


def bad_sigmoid(u, random):
    return -1.0 * (u["activation"] == 1) + random.normal(0, 0.3, len(u["activation"]))


def xor(u, random):
    return ((u["learning_rate"] > 0.5) ^ (u["momentum"] > 0.5)) + random.normal(0, 0.5, len(u["momentum"]))


def luck(u, random):
    return random.normal(0, 1, len(u["momentum"]))


def named(report: Report) -> list[str]:
    """The hyper-parameters of which the p-value says that they matter."""
    basis = basis_of(report)
    model = fit(factors(report, basis.rows), basis.scores)
    assert model is not None
    adjusted = holm([model.p_value(part) for part in model.parts])
    return [part.factor.name for part, p in zip(model.parts, adjusted, strict=True) if p <= 0.05]


@pytest.mark.parametrize(
    ("function", "real"), [(peak, {"learning_rate"}), (luck, set()), (two, {"learning_rate", "momentum"})]
)
def test_irrelevant_hyper_parameters_are_not_named_in_95_percent_of_studies(function, real) -> None:
    found = [set(named(planted(function, seed))) for seed in range(STUDIES)]
    assert np.mean([bool(names - real) for names in found]) <= AT_MOST
    assert np.mean([real <= names for names in found]) >= 0.95


def test_the_dominating_one_is_first_with_an_interval_that_holds_its_share() -> None:
    """Its true share is that of a study of 20,000 trials."""
    (truth,) = (each.share for each in lessons(planted(two, 1, 20_000)).importances[:1])
    found = [lessons(planted(two, seed)).importances[0] for seed in range(25)]
    assert np.mean([each.name == "learning_rate" for each in found]) >= 0.95
    assert np.mean([each.low <= truth <= each.high for each in found]) >= 0.85


def test_shares_are_as_planted_and_rank_as_optunas_own_evaluators_have_them() -> None:
    """The variance of an even place is 1/12, that of four even levels 5/36."""
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator

    from hpsearch.results.frames import space_of
    from hpsearch.study.distributions import optuna_distributions

    report = planted(
        lambda u, r: 3 * u["learning_rate"] + u["depth"] + r.normal(0, 0.3, len(u["depth"])), 3, 200
    )
    shares = {each.name: each.share or 0.0 for each in lessons(report).importances}
    assert shares["learning_rate"] / shares["depth"] == pytest.approx(9 / 12 / (5 / 36), rel=0.25)

    distributions = optuna_distributions(space_of(report.record))
    own = optuna.create_study(direction="maximize")
    for row in report.ranked.to_dict("records"):
        params = {name: row[f"param_{name}"] for name in distributions}
        own.add_trial(
            optuna.trial.create_trial(params=params, distributions=distributions, value=row["value"])
        )
    for evaluator in (FanovaImportanceEvaluator(n_trees=32, seed=0), PedAnovaImportanceEvaluator()):
        theirs = evaluator.evaluate(own)
        assert sorted(shares, key=lambda name: -shares[name])[:2] == list(theirs)[:2]
        assert sum(list(theirs.values())[:2]) > 0.9 * sum(theirs.values())


def test_directions() -> None:
    found = {
        "higher": lessons(planted(two)).importances[0].direction,
        "lower": lessons(planted(lambda u, r: -two(u, r))).importances[0].direction,
        "around": lessons(planted(peak)).importances[0].direction,
        "levels": lessons(planted(bad_sigmoid)).importances[0].direction,
        "turned": lessons(planted(two, minimize=True)).importances[0].direction,
    }
    assert found["higher"].startswith("higher is better")
    assert found["turned"].startswith("higher is better")  # a lower error at higher values
    assert found["lower"].startswith("lower is better")
    assert found["around"].startswith("best around 0.")
    assert 0.03 < float(found["around"].split()[-1]) < 0.3
    assert found["levels"].endswith(" better than sigmoid")


def test_what_is_not_seen_is_told_from_what_cannot_be_said() -> None:
    """With many trials an interval ends below 3 %; with few it does not."""
    many = {each.name: each.verdict for each in lessons(planted(peak, 2, 2000)).importances}
    few = {each.name: each.verdict for each in lessons(planted(peak, 2, 40)).importances}
    assert many["learning_rate"] == few["learning_rate"] == MATTERS
    assert many["depth"] == NOTHING_SEEN
    assert few["depth"] == TOO_FEW
    assert all(
        each.verdict == TOO_FEW and each.share is None for each in lessons(planted(peak, 2, 15)).importances
    )


def test_interactions_are_found_where_planted_and_additive_functions_have_none() -> None:
    def said(report: Report) -> list[tuple[str, str]]:
        basis = basis_of(report)
        model = fit(factors(report, basis.rows), basis.scores)
        assert model is not None
        pairs = [(a, b) for at, a in enumerate(model.parts) for b in model.parts[at + 1 :]]
        tested = [_tested(model, *pair) for pair in pairs]
        adjusted = holm([p for p, _ in tested])
        kept = [p <= 0.05 and share >= SMALL for p, (_, share) in zip(adjusted, tested, strict=True)]
        return [(a.factor.name, b.factor.name) for (a, b), here in zip(pairs, kept, strict=True) if here]

    assert np.mean([bool(said(planted(two, seed))) for seed in range(STUDIES)]) <= AT_MOST
    assert np.mean([bool(said(planted(luck, seed))) for seed in range(STUDIES)]) <= AT_MOST
    assert np.mean([("learning_rate", "momentum") in said(planted(xor, seed)) for seed in range(30)]) >= 0.95
    first = lessons(planted(xor, 3, 300)).interactions[0]
    assert {first.first, first.second} == {"learning_rate", "momentum"}
    assert first.cells["trials"].sum() == 300
    assert "is best at" in first.sentence


def test_a_basis_is_no_selection_and_takes_diverged_trials_for_the_worst() -> None:
    """With the complete third alone, what decided who went on would hardly vary."""
    report = planted(two, 5, 240, stopped_at=3, diverged=0.05)
    basis = basis_of(report)
    assert basis.epoch == 3
    assert len(basis) == 240
    lost = report.counts[State.FAILED]
    assert basis.diverged == lost > 0
    assert np.all(basis.scores[np.isnan(basis.values)] <= basis.scores[~np.isnan(basis.values)].min())
    assert (
        basis.sentence == f"240 trials, each after 3 of at most 9 epochs; {lost} that diverged count as worst"
    )
    assert lessons(report).importances[0].name == "learning_rate"


def test_the_basis_takes_the_best_value_until_its_epoch() -> None:
    record, trials, curves = example(120)
    report = finished_report(record, trials, curves)
    basis = basis_of(report)
    for row, value in zip(basis.rows, basis.values, strict=True):
        trial = report.trials.iloc[row]
        curve = curves[int(trial["trial"])]
        if trial["state"] == "failed":
            assert np.isnan(value)
        else:
            assert value == np.nanmax(curve[: basis.epoch, 3])
    joined = replace(report, curves=Curves.join(curves))
    assert np.array_equal(basis_of(joined).values, basis.values, equal_nan=True)


def test_isolation_counts_every_trial_once_and_has_the_best_of_each_bucket() -> None:
    record, trials, curves = example(120)
    report = finished_report(record, trials, curves)
    isolations = lessons(report).isolations
    for each in isolations:
        assert each.buckets["trials"].sum() == 120
        assert each.buckets["diverged"].sum() == report.counts[State.FAILED]
        assert each.buckets["best"].max() == report.trials["value"].max()
        assert len(each.points) == 120
    (rate,) = (each for each in isolations if each.name == "learning_rate")
    for row in rate.buckets.to_dict("records"):
        own = rate.points[(rate.points["at"] >= row["low"]) & (rate.points["at"] < row["high"])]
        assert len(own) == row["trials"]
        values = own["value"].dropna()
        assert row["best"] == values.max() or (np.isnan(row["best"]) and not len(values))
    (size,) = (each for each in isolations if each.name == "batch_size")
    assert size.buckets["bucket"].tolist() == ["16", "32", "64", "128", "256"]


def test_a_best_bucket_with_few_trials_is_remarked() -> None:
    report = planted(peak, 0, 100)
    frame = report.trials
    best = frame["param_activation"].where(frame.index == 0, "relu").where(frame.index != 0, "tanh")
    changed = replace(report, trials=frame.assign(param_activation=best))
    (found,) = (each for each in lessons(changed).isolations if each.name == "activation")
    assert found.remark == "the best lies at tanh, which has only 1 trial; try more there"


def test_no_detectable_difference_between_equal_scientific_values_in_95_percent_of_studies() -> None:
    reports = [planted(luck, seed, 60, scientific=("activation",)) for seed in range(STUDIES)]
    found = [verdicts(report, factors(report))[0].sentence for report in reports]
    assert np.mean(["no detectable difference between" not in sentence for sentence in found]) <= AT_MOST


def test_a_worse_scientific_value_is_told_and_others_are_not() -> None:
    (found,) = lessons(planted(bad_sigmoid, 1, 240, scientific=("activation",))).verdicts
    frame = found.values
    assert frame["value"].iloc[-1] == "sigmoid"
    assert frame["p"].iloc[-1] <= 0.05 < frame["p"].iloc[1]
    assert frame["difference_high"].iloc[-1] < 0 < frame["difference_high"].iloc[1]
    assert "better than sigmoid (" in found.sentence
    assert found.sentence.endswith("no detectable difference.")


def test_equally_many_trials_make_the_expected_best_fair() -> None:
    """One value has ten times as many trials: its best is better by luck, its expected best is not."""
    random = np.random.default_rng(1)
    bests, expected = [], []
    for _ in range(300):
        groups = np.repeat([0, 1], [100, 10])
        values = random.normal(size=110)
        order = np.argsort(values)
        bests.append(values[:100].max() - values[100:].max())
        found = _expected(values[order], groups[order], [best_weights(100, 5), best_weights(10, 5)])
        expected.append(found[0] - found[1])
    assert np.mean(bests) > 0.5
    assert abs(np.mean(expected)) < 0.1


def test_the_expected_best_is_the_mean_over_all_subsets() -> None:
    values = np.array([0.1, 0.4, 0.5, 0.9, 1.0, 1.7])
    wanted = np.mean([max(subset) for subset in combinations(values, 4)])
    assert _expected(values, np.zeros(6, int), [best_weights(6, 4)])[0] == pytest.approx(wanted)


ODD = {
    "one trial": example(120)[1][:1],
    "three trials": example(120)[1][:3],
    "all diverged": [t for t in example(120)[1] if t.state is State.FAILED],
    "stopped ones only": [t for t in example(120)[1] if t.state is State.PRUNED],
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("with_curves", [True, False])
def test_odd_studies_have_few_lessons_and_no_errors(name: str, with_curves: bool) -> None:
    record, _, curves = example(120)
    trials = ODD[name]
    own = {trial.number: curves[trial.number] for trial in trials} if with_curves else {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = lessons(finished_report(record, trials, own))
        tables_of(found, record.metric)
    assert isinstance(found, Lessons)
    assert len(found.isolations) == 6


def test_a_study_that_searches_nothing_teaches_nothing() -> None:
    record = replace(RECORD, document={**RECORD.document, "space": {"learning_rate": 0.1}})
    trials = [Trial(n, 0, {}, State.COMPLETE, 1, 0.5 + n / 100, 1.0, 1) for n in range(30)]
    curves = {n: np.full((1, 4), 0.5 + n / 100) for n in range(30)}
    found = lessons(finished_report(record, trials, curves))
    assert (found.importances, found.isolations, found.interactions, found.verdicts) == ((), (), (), ())
    assert [*pair_blocks(found), *alone_blocks(found)] == []


def test_a_conditional_hyper_parameter_counts_only_where_it_is_used() -> None:
    """Momentum means nothing to Adam; its trials neither count for it nor hide what it does to others."""
    space = {"optimizer": ["sgd", "adam"], "momentum": {"low": 0.0, "high": 0.9}}
    record = replace(RECORD, document={**RECORD.document, "space": space})
    random = np.random.default_rng(2)
    trials, curves = [], {}
    for n in range(120):
        sgd = n % 2 == 0
        at = float(random.uniform(0, 0.9))
        params = {"optimizer": "sgd", "momentum": at} if sgd else {"optimizer": "adam"}
        value = (at if sgd else 0.45) + random.normal(0, 0.1)
        trials.append(Trial(n, 0, params, State.COMPLETE, 1, value, 1.0, 1))
        curves[n] = np.full((1, 4), value)
    found = {each.name: each for each in lessons(finished_report(record, trials, curves)).importances}
    assert found["momentum"].verdict == MATTERS
    assert found["momentum"].trials == 60
    assert found["optimizer"].verdict != MATTERS


def test_the_same_report_has_the_same_lessons() -> None:
    report = planted(two, 1, 90, scientific=("activation",))
    one, other = lessons(report), lessons(report)
    assert one.importances == other.importances
    assert one.verdicts[0].values.equals(other.verdicts[0].values)


def tables_of(found: Lessons, metric: str) -> list[Table]:
    """All that the terminal shows of the lessons."""
    verdicts = [block for each in found.verdicts for block in verdict_blocks(each, metric)]
    blocks = [*verdicts, *importances_blocks(found, TEXT, TEXT), *pair_blocks(found), *alone_blocks(found)]
    return [block for block in blocks if isinstance(block, Table) and block.formats >= TEXT]


def test_blocks_say_what_was_found() -> None:
    found = lessons(planted(two, 4, 200, scientific=("activation",)))
    tables = tables_of(found, "accuracy")
    for table in tables:
        assert all(len(row) == len(table.grid.columns) for row in table.grid.rows)
    (importances,) = (table for table in tables if table.caption.startswith("what matters"))
    assert importances.grid.rows[0][0] == "learning_rate"
    assert {row[0] for row in importances.grid.rows} == set(SPACE)


def confirmed(report: Report, scores: dict[int, list[float]], curves: int = 0) -> Confirmation:
    """Fresh seeds of these trials; curves: epochs of each seed's curve, 0 for none."""
    finalists = []
    for trial, own in scores.items():
        lines = (
            tuple(np.full((curves, 4), 0.5) + np.arange(curves)[:, None] * 0.01 + s for s in own)
            if curves
            else ()
        )
        finalists.append(
            Finalist(trial, max(1, curves), np.array(own), np.zeros(len(own)), lines, selected=0.9)
        )
    return Confirmation("accuracy", True, "test", 360, 5, False, len(report.ranked), tuple(finalists))


def test_fresh_seeds_decide_where_the_best_of_several_values_have_them() -> None:
    """By search alone the values are equal; on fresh seeds one is clearly worse."""
    report = planted(luck, 3, 90, scientific=("activation",))
    first = {name: int(own["trial"].iloc[0]) for name, own in report.ranked.groupby("param_activation")}
    random = np.random.default_rng(1)
    scores = {
        first["relu"]: 0.95 + random.normal(0, 0.002, 5),
        first["tanh"]: 0.85 + random.normal(0, 0.002, 5),
    }
    own = confirmed(report, {trial: values.tolist() for trial, values in scores.items()})
    (found,) = lessons(replace(report, confirmation=own)).verdicts
    assert found.values["value"].tolist()[:2] == ["relu", "tanh"]
    assert found.values["source"].tolist() == ["fresh seeds", "fresh seeds", "search"]
    assert found.values["expected"].iloc[0] == pytest.approx(scores[first["relu"]].mean())
    assert "relu has accuracy 95" in found.sentence
    assert "better than tanh (−10" in found.sentence
    assert found.sentence.endswith("without fresh seeds: sigmoid indistinguishable from the best.")


def test_finalists_curves_have_means_and_spread_over_seeds() -> None:
    report = planted(luck, 3, 60)
    own = confirmed(report, {1: [0.0, 0.1, 0.2], 2: [0.0, 0.0, 0.0]}, curves=20)
    frame = finalist_curves(own)
    last = frame[(frame["trial"] == 1) & (frame["epoch"] == 20)].iloc[0]
    assert last["mean"] == pytest.approx(0.5 + 0.19 + 0.1)
    assert last["sd"] == pytest.approx(0.1)
    assert last["best"]
    assert frame["improving"].all()
    grid = finalists_curves_grid(own)
    assert [column.head.strip() for column in grid.columns] == ["epoch", "#1", "#2"]
    assert grid.rows[-1] == ("20", "79.0% ±10.0 ●", "69.0% ±0.0 ●")
    epochs = own.finalists[0].epochs
    assert improving_line(own, epochs) == "still improving in the last fifth of their epochs: #1, #2"
    assert improving_line(own, epochs + 1) == ""  # going on brought no more in the search


def test_a_seed_that_diverged_leaves_the_curve_at_its_epoch() -> None:
    report = planted(luck, 3, 60)
    whole = confirmed(report, {1: [0.0, 0.1, 0.2]}, curves=12)
    (finalist,) = whole.finalists
    curves = (finalist.curves[0][:4], *finalist.curves[1:])
    own = replace(whole, finalists=(replace(finalist, curves=curves, scores=np.array([np.nan, 0.1, 0.2])),))
    frame = finalist_curves(own)
    assert frame["seeds"].tolist() == [3] * 4 + [2] * 8
    assert finalist_curves(replace(whole, finalists=(replace(finalist, curves=()),))).empty
