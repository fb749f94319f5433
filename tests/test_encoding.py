"Encoding equals scikit-learn's, for ids of every kind."
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import LabelEncoder

from mfrec import DataError, IdEncoder, UnknownIdError

integers = st.lists(st.integers(-2**62, 2**62) | st.integers(-100, 100), min_size=1, max_size=50).map(lambda ids: np.array(ids, dtype=np.int64))
texts = st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=50).map(lambda ids: np.array(ids, dtype=object))


@given(integers | texts)
def test_equals_label_encoder(ids):
    theirs = LabelEncoder()
    codes = IdEncoder().fit_transform(ids)
    assert (codes == theirs.fit_transform(ids)).all() and codes.dtype == np.int32
    encoder = IdEncoder().fit(ids)
    assert (encoder.classes_ == theirs.classes_).all() and (encoder.inverse_transform(codes) == ids).all()


@given(integers, integers)
def test_extending_moves_nobody_and_misses_nobody(first, second):
    before = IdEncoder().fit(first)
    after = before.extend(second)
    assert (after.transform(first) == before.transform(first)).all()
    assert set(after.classes_) == set(first) | set(second) and len(after) == len(set(first) | set(second))
    unknown = ~np.isin(second, first)
    assert ((before.lookup(second) < 0) == unknown).all()
    if unknown.any():
        with pytest.raises(UnknownIdError, match="unknown ids"):
            before.transform(second)


def test_empty_and_wrong():
    assert len(IdEncoder().fit([])) == 0 and IdEncoder().fit([1]).lookup([]).shape == (0,)
    assert repr(IdEncoder()) == "IdEncoder()" and repr(IdEncoder().fit([1, 2])) == "IdEncoder(2 ids)"
    with pytest.raises(DataError, match="kind"):
        IdEncoder().fit([True, False, None][:2])
