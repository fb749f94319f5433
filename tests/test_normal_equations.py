"The kernel against numpy.linalg.lstsq on random problems."
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

import mfrec
from mfrec.kernel import normal_equations
from mfrec.kernel.machine import Workers
from mfrec.kernel.normal_equations import (
    Known, Prior, cut_points, factorize, gather_table, group_rows, solve_rows)
from mfrec.ratings.rows import Interactions
from mfrec.solvers.gibbs import draw_rows


def problem(seed, k, n_rows, n_columns, n, equal, repeated=True):
    "Ratings at random; unless `repeated`, no pair stands twice."
    rng = np.random.default_rng(seed)
    pairs = rng.integers(0, n_rows * n_columns, n) if repeated else rng.permutation(n_rows * n_columns)[:n]
    rows, columns = np.divmod(pairs, n_columns)
    n = len(rows)
    values = np.full(n, 3.0) if equal else rng.normal(size=n)
    return (
        rows, columns, values, rng.normal(size=(n_columns, k + 1)) / np.sqrt(k), rng.normal(size=k + 1), rng
    )


def lstsq(rows, columns, values, other, mean, ridge, alpha, row):
    mine = rows == row
    design = np.sqrt(alpha) * np.column_stack([other[columns[mine], :-1], np.ones(mine.sum())])
    target = np.sqrt(alpha) * (values[mine] - other[columns[mine], -1])
    root = np.sqrt(ridge) * np.eye(other.shape[1])
    return np.linalg.lstsq(np.vstack([design, root]), np.concatenate([target, root @ mean]), rcond=None)[0]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6), k=st.sampled_from([1, 2, 3, 6, 14, 22, 31, 64, 128]),
    n_rows=st.integers(1, 40), n_columns=st.integers(1, 200), n=st.integers(1, 400), equal=st.booleans(),
    budget=st.sampled_from([3, 50, 10**5]), double=st.booleans()
)
def test_agrees_with_lstsq(seed, k, n_rows, n_columns, n, equal, budget, double):
    """A hundred ratings of one pair make a Gram that float32 cannot hold to four digits;
    there float64 is asked for, and gives nine."""
    rows, columns, values, other, mean, rng = problem(seed, k, n_rows, n_columns, n, equal, repeated=double)
    dtype = torch.float64 if double else torch.float32

    def as_torch(x):
        return torch.as_tensor(x, dtype=dtype)

    groups = group_rows(Interactions(rows, columns, as_torch(values), n_rows, n_columns), k, budget=budget)
    known = Known(
        gather_table(as_torch(other)),
        Prior(2.0 * torch.eye(k + 1, dtype=dtype), as_torch(mean)),
        noise_precision=1.5,
    )
    solved = solve_rows(groups, known)
    expected = np.array([lstsq(rows, columns, values, other, mean, 2.0, 1.5, row) for row in range(n_rows)])
    worst = np.abs(solved.vectors.double().numpy() - expected).max() / np.abs(expected).max()
    assert worst < (1e-9 if double else 1e-5)


def test_no_column_rated_by_anybody_still_gives_the_prior():
    groups = group_rows(
        Interactions(torch.tensor([1]), torch.tensor([0]), torch.tensor([2.0]), 4, 1), n_factors=2
    )
    solved = solve_rows(
        groups, Known(gather_table(torch.zeros(1, 3)), Prior(torch.eye(3), torch.tensor([1.0, 2.0, 3.0])))
    )
    assert torch.allclose(solved.vectors[[0, 2, 3]], torch.tensor([1.0, 2.0, 3.0]).expand(3, 3))


def test_prior_precision_per_row():
    rows, columns, values, other, mean, rng = problem(0, 3, 5, 7, 40, False)
    ridges = np.array([0.5, 1, 2, 4, 8])
    prior = Prior(torch.as_tensor(ridges[:, None, None] * np.eye(4)), torch.as_tensor(np.tile(mean, (5, 1))))
    groups = group_rows(Interactions(rows, columns, values, 5, 7), 3, budget=20)
    solved = solve_rows(groups, Known(gather_table(torch.as_tensor(other)), prior))
    expected = [lstsq(rows, columns, values, other, mean, ridges[row], 1.0, row) for row in range(5)]
    assert np.allclose(solved.vectors, expected)


def test_a_ridge_grows_with_the_ratings_of_a_row():
    rows, columns, values, other, _, _ = problem(0, 3, 5, 7, 40, False)
    rows = np.where(rows == 4, 3, rows)  # one row without ratings
    table, ridges = gather_table(torch.as_tensor(other)), 0.5 + 0.3 * np.bincount(rows, minlength=5)
    precision = np.zeros((5, 4, 4))
    precision[:, range(3), range(3)], precision[:, 3, 3] = ridges[:, None], 0.5
    groups = group_rows(Interactions(rows, columns, values, 5, 7), 3, budget=20)
    weighted = group_rows(Interactions(rows, columns, values, 5, 7, weights=np.full(40, 2.0)), 3)
    growth = torch.diag(torch.tensor([0.3] * 3 + [0.0] * 2, dtype=torch.float64))
    expected = solve_rows(groups, Known(table, Prior(torch.as_tensor(precision))), covariance=True)
    found = solve_rows(
        groups, Known(table, Prior(0.5 * torch.eye(4, dtype=torch.float64), per_rating=growth)),
        covariance=True
    )
    assert torch.allclose(found.vectors, expected.vectors)
    assert torch.allclose(found.variances, expected.variances)
    assert found.objective == pytest.approx(expected.objective)
    # twice all of it
    doubled = solve_rows(weighted, Known(table, Prior(torch.eye(4, dtype=torch.float64), per_rating=growth)))
    assert torch.allclose(doubled.vectors, expected.vectors)


def test_noise_per_row_and_weights_of_columns_are_repeated_ratings():
    rows, columns, values, other, mean, rng = problem(1, 3, 5, 7, 40, False)
    prior = Prior(torch.eye(4, dtype=torch.float64))
    twice = group_rows(Interactions(np.repeat(rows, 2), np.repeat(columns, 2), np.repeat(values, 2), 5, 7), 3)
    once = group_rows(Interactions(rows, columns, values, 5, 7), 3)
    expected = solve_rows(twice, Known(gather_table(torch.as_tensor(other)), prior)).vectors
    doubled = [
        solve_rows(
            once,
            Known(gather_table(torch.as_tensor(other)), prior, torch.full((5,), 2.0, dtype=torch.float64)),
        ),
        solve_rows(
            once,
            Known(
                gather_table(torch.as_tensor(other), weights=torch.full((7,), 2.0, dtype=torch.float64)),
                prior,
            ),
        ),
        solve_rows(
            group_rows(Interactions(rows, columns, values, 5, 7, weights=np.full(40, 2.0)), 3),
            Known(gather_table(torch.as_tensor(other)), prior),
        ),
    ]
    assert all(torch.allclose(solved.vectors, expected) for solved in doubled)


def test_failing_cholesky_names_the_row():
    good, bad = torch.eye(3), -torch.eye(3)
    with pytest.raises(mfrec.TrainingError, match="row 42"):
        factorize(torch.stack([good, bad]), torch.tensor([5, 42]))
    with pytest.raises(mfrec.TrainingError, match="row 5"):
        factorize(torch.stack([good * float("nan"), good]), torch.tensor([5, 42]))


def test_bits_do_not_depend_on_threads():
    rows, columns, values, other, mean, rng = problem(2, 6, 300, 50, 5_000, False)

    def t(x):
        return torch.as_tensor(x, dtype=torch.float32)

    groups = group_rows(Interactions(rows, columns, t(values), 300, 50), 6, budget=200)
    known, normal = Known(gather_table(t(other)), Prior(torch.eye(7))), torch.randn(300, 7)
    found = []
    for n_jobs in (1, 3):
        with Workers(n_jobs) as workers:
            drawn = draw_rows(groups, known, normal, torch.zeros(300, 7), -0.5, workers)
            found.append((drawn, solve_rows(groups, known, covariance=True, workers=workers)))
    assert all(
        torch.equal(getattr(found[0][0], f), getattr(found[1][0], f))
        for f in ("vectors", "means", "squared_errors")
    )
    assert all(
        torch.equal(getattr(found[0][1], f), getattr(found[1][1], f))
        for f in ("vectors", "variances", "total_covariance")
    )


@settings(max_examples=100, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 500), max_size=60), budget=st.integers(1, 1000), floor=st.integers(0, 60)
)
def test_cuts_cover_every_row_within_the_budget(lengths, budget, floor):
    lengths = np.sort(np.array(lengths, dtype=np.int64))
    cuts = cut_points(lengths, budget, floor)
    assert cuts[0] == 0 and cuts[-1] == len(lengths) and all(a < b for a, b in zip(cuts, cuts[1:]))
    for a, b in zip(cuts, cuts[1:]):
        assert b - a == 1 or (b - a) * max(int(lengths[b - 1]), floor) <= budget


def test_no_more_is_gathered_at_once_than_the_budget(monkeypatch):
    "One row of 30,000 ratings among short ones is gathered in pieces, and the answer does not depend on it."
    rng = np.random.default_rng(0)
    gather = normal_equations.gather
    most = {}
    solved = []
    rows = torch.as_tensor(
        np.concatenate([np.zeros(30_000), rng.integers(1, 2_000, 20_000)]).astype(np.int64)
    )
    columns = torch.as_tensor(rng.integers(0, 500, len(rows)))
    values = torch.as_tensor(rng.normal(size=len(rows)).astype(np.float32))
    known = Known(
        gather_table(torch.as_tensor(rng.normal(size=(500, 9)).astype(np.float32))), Prior(torch.eye(9)), 1.0
    )
    for budget in (1_024, 1 << 16):
        def watched(table, index):
            most[budget] = max(most.get(budget, 0), index.numel())
            return gather(table, index)
        monkeypatch.setattr(normal_equations, "gather", watched)
        solved.append(
            solve_rows(
                group_rows(Interactions(rows, columns, values, 2_000, 500), 8, budget=budget), known
            ).vectors
        )
    assert most[1_024] <= 1_024 < 30_000 <= most[1 << 16] <= 1 << 16
    assert torch.allclose(*solved, atol=1e-4)
