"Why a film: lines that add up and sentences that are true, of models as they are used."
import json
import re
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import mfrec
from conftest import SEEING
from mfrec.use.reasons import LEAST_SAID, within_words

KINDS = ["bias", "adam", "als", "bayes", "bayes slopes"]  # bayes: levels


@pytest.fixture(scope="module")
def models(rated, items, users):
    told = {"items": items, "users": users, "progress": False}
    return {name: clone(SEEING[name]).fit(rated, **told).model_ for name in KINDS}


@pytest.fixture(params=KINDS)
def model(request, models):
    return models[request.param]


@pytest.fixture(scope="module")
def als(models):
    return models["als"].with_interest(seed=0)


def unclipped(lines):
    return lines.stars[lines.part != "clipped"].sum()


def later_ratings(rated, user):
    "What some people, one of them new, gave a film that came later; and the new one's of known films."
    films, others = rated.movieId.value_counts().index[:3], rated.userId.value_counts().index[[0, 5]]
    later = pd.DataFrame({"userId": [user, *others], "movieId": 10**6, "rating": [5.0, 1.0, 2.0]})
    new = pd.DataFrame({"userId": -9, "movieId": films, "rating": [5.0, 2.0, 4.0]})
    return pd.concat([later, new], ignore_index=True)


def test_lines_of_updated_models_add_up_or_one_warning_says_by_how_much(model, rated, tmp_path):
    user = int(rated.userId.value_counts().index[-1])
    films = [*rated.movieId.value_counts().index[:3], 10**6]
    more, little = later_ratings(rated, user), 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        added, updated = model.add_rated(more), model.update(more)
        added.save(tmp_path / "m")
    for changed in (added, updated, mfrec.load(tmp_path / "m")):
        for who, film in [(who, film) for who in (user, more.userId[1], -9) for film in films[1:]]:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                total = unclipped(changed.explain(who, film))
            at = changed.item.ids.lookup([film])[0]
            away = changed.scores([who], clip=False)[0][at] - total
            assert len(caught) == 1 if abs(away) > 1.2e-4 else abs(away) > 0.8e-4 or not caught, (film, away)
            little += 0.0002 < abs(away) < 0.004
            if caught:
                said = re.search(r"says ([+-][\d.]+)", str(caught[0].message))
                assert float(said[1]) == pytest.approx(away, abs=1e-4)
    assert little  # what two decimals do not show is told as well


def test_sentences_on_updated_models_warn_once(als, rated):
    user = int(rated.userId.value_counts().index[-1])
    changed = als.add_rated(later_ratings(rated, user)[:3])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = changed.recommend([user], 10, why=True)
    (told,) = [str(one.message) for one in caught]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        away = [unclipped(changed.explain(user, film)) for film in found.movieId]
    at = changed.item.ids.lookup(found.movieId)
    far = np.abs(changed.scores([user], clip=False)[0][at] - away) > LEAST_SAID
    assert far.sum() > 1 and told.startswith(f"{far.sum()} of 10 reasons")


def test_levels_add_up_in_stars_for_known_and_new_people(models, rated):
    fitted = models["bayes"]
    fan = {int(film): 5.0 for film in rated.movieId.value_counts().index[:6]}
    folded = fitted.fold_in(pd.DataFrame({"userId": "me", "movieId": fan.keys(), "rating": 5.0}))
    for film in rated.movieId.unique()[:4]:
        at = fitted.item.ids.lookup([film])[0]
        for user, model in ((int(rated.userId.iloc[0]), fitted), (fan, folded)):
            name = "me" if user is fan else user
            lines = fitted.explain(user, film)
            assert abs(unclipped(lines) - model.scores([name], clip=False)[0][at]) < 1e-4
            assert abs(lines.stars.sum() - model.predict(name, film)) < 1e-4


def test_lists_with_reasons_are_the_same_lists(als, rated):
    pair = rated.userId.value_counts().index[[0, -1]].tolist()
    plain, found = als.recommend(pair, 3), als.recommend(pair, 3, why=True)
    assert found.drop(columns="why").equals(plain)
    assert found.why.tolist() == [als.why(*each) for each in zip(found.userId, found.movieId)]
    met = als.recommend({als.catalogue.title[1]: 5.0}, 2, why=True)
    assert met.why.str.len().gt(0).all() and len(met) == 2


def test_a_sentence_names_features_that_the_film_has(als):
    "Centered features come back a little beside 0, which is no feature."
    told, seen = als.catalogue.set_index("movieId"), 0
    genres = {name for cell in als.catalogue.genres for name in cell}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = als.recommend(als.user.ids.classes_[:30], 6, why=True, order="rating")
    for film, why in zip(found.movieId, found.why):
        for part in why.split("; "):
            if "usually" in part:
                first, _, decade = part.split(" usually")[0].partition(" of the ")
                names = [*first.split(" and "), *[decade] * bool(decade)]
                own = {*told.genres[film], f"{told.year[film] // 10 * 10}s"}
                assert {*names} <= own, (why, own)
                seen += len(genres & {*names}) > 0
    assert seen > 8


def test_stars_stand_apart_from_titles_that_end_in_a_number():
    assert within_words("Shrek 2") == "“Shrek 2”" and within_words("Heat") == "Heat"


def test_a_model_without_its_ratings_explains_people_just_met(rated, items):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bare = mfrec.ALSMF(n_factors=4, n_sweeps=4, keep_ratings=False)
        bare.fit(rated, items=items, progress=False)
    film, fan = int(rated.movieId.iloc[0]), {int(rated.movieId.iloc[1]): 5.0}
    assert bare.why(fan, film) and len(bare.explain(fan, film)) >= 4
    for call in (bare.explain, bare.why):
        with pytest.raises(mfrec.SettingError, match="; give the ratings of those who ask, or fit with keep"):
            call(int(rated.userId.iloc[0]), film)


def test_wrong_items_and_people(als, rated):
    user, film = int(rated.userId.iloc[0]), int(rated.movieId.iloc[0])
    for item in (als, [film], None, 2.5, {"a": 1}):
        with pytest.raises(mfrec.MfrecError):
            als.explain(user, item)
    for who in (als, [user, user], None, "nobody", {}):
        with pytest.raises(mfrec.MfrecError):
            als.explain(who, film)


def test_ratings_all_alike_tell_of_no_taste(rated):
    "They are ratings all the same: nobody is told that there are none."
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flat = mfrec.ALSMF(n_factors=4, n_sweeps=3, n_taste=0).fit(rated.assign(rating=4.0), progress=False)
    flat = flat.model_
    flat = replace(flat, user=replace(flat.user, factors=flat.user.factors * 0),
                   item=replace(flat.item, factors=flat.item.factors * 0))
    for call, name in ((flat.similar_users, rated.userId.iloc[0]),
                       (lambda film: flat.similar_items(film, by="stars"), rated.movieId.iloc[0])):
        with pytest.raises(mfrec.SettingError, match="has ratings that say nothing beyond the averages"):
            call(int(name))


def test_the_command(als, rated, tmp_path, command):
    als.save(tmp_path / "m")
    als_bare = replace(als, ratings=None)
    als_bare.save(tmp_path / "bare")
    user, title = int(rated.userId.iloc[0]), als.catalogue.title[1]

    film = int(als.catalogue.movieId[1])
    code, out, err = command("explain", tmp_path / "m", title, "--user", user, "-n", "3")
    lines = als.explain(user, film)
    assert code == 0 and not err and out.startswith(als.why(user, film) + "\n\nstars")
    assert out.splitlines()[-1].split() == [f"{lines.stars.sum():.2f}", "predicted"]
    shown = [float(line.split()[0].replace("−", "-")) for line in out.splitlines()[3:-1]]
    assert abs(sum(shown) - lines.stars.sum()) < 0.005 * (len(shown) + 1)
    code, out, _ = command("explain", tmp_path / "m", film, "--user", user, "--json")
    told = json.loads(out)
    assert code == 0 and len(told["lines"]) == len(lines) and told["why"] == als.why(user, film)
    code, out, err = command("explain", tmp_path / "bare", title, "--rate", f"{als.catalogue.title[2]}=5")
    assert code == 0 and "predicted" in out and not err
    for args, said in ((("--user", user), "saved with --no-ratings"), ((), "nothing says who asks")):
        code, out, err = command("explain", tmp_path / "bare", title, *args)
        assert code == 2 and said in err and len(err.splitlines()) == 1
    code, out, _ = command("recommend", tmp_path / "m", "--user", user, "--why", "-n", "3")
    assert code == 0 and out.count("because you gave") + out.count("others give it") >= 3
    assert max(map(len, out.splitlines())) <= 100
