"""De-duplication remembers as many ids as it says, for as long as it says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.engine.recent_ids import RecentIds

steps = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), max_size=120)


@given(steps=steps, most=st.integers(0, 50), window_ms=st.integers(0, 40))
def test_it_is_a_dictionary_that_forgets(
    steps: list[tuple[int, int]], most: int, window_ms: int
) -> None:
    ids, model, now_ms = RecentIds(), dict[int, int](), 0
    for id_hash, gap in steps:
        now_ms += gap
        ids.trim(most, now_ms - window_ms)
        model = {one: at for one, at in model.items() if at > now_ms - window_ms}
        model = dict(list(model.items())[-most:]) if most else {}

        assert ids.seen_ms(id_hash) == model.get(id_hash)
        if id_hash not in model:
            ids.add(id_hash, now_ms)
            model[id_hash] = now_ms
        assert list(ids.hashes) == list(model)
        assert list(ids.times) == list(model.values())
        assert len(ids) == len(model)
