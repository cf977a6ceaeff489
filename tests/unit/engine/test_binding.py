"""Variables replaced by what they stand for."""

from __future__ import annotations

import pytest

from app.domain.limits import DAY_MS, EngineLimits
from app.domain.model import ProfileKey
from app.engine.binding import bind_item, without_lets
from app.engine.report import evaluation_of
from app.pql import ast
from app.pql.ast import Expr
from app.pql.checker import check
from app.pql.parser import parse
from app.pql.printer import to_text
from tests.property.engine_model import BASE_MS, TENANT, Model, Store, make_update


def resolved(text: str) -> Expr:
    checked = check(parse(text))
    assert checked.expr is not None, checked.problems
    return checked.expr


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("let a = b + 1 in a > 2 and a < 9", "b + 1 > 2 and b + 1 < 9"),
        ("let a = b in let a = a + 1 in a > 2", "b + 1 > 2"),
        ("let a = b in xs[let a = a + c in a > 2]", "xs[$1.b + c > 2]"),
        ("xs[let a = b in ys[c > a and d[e = a]]]", "xs[ys[c > ^.b and d[e = ^^.b]]]"),
        ("let a = b in exists a from a where a.x", "exists a from b where a.x"),
        ("let a = b in exists c from xs where c = a", "exists c from xs where c = b"),
        ("let m = xs in m.map((a, m) => m + a).count() > 1", "xs.map((a, m) => m + a).count() > 1"),
    ],
)
def test_a_let_is_what_it_binds(text: str, plain: str) -> None:
    assert repr(without_lets(resolved(text))) == repr(resolved(plain))


def test_a_let_stays_where_a_variable_would_be_caught() -> None:
    found = resolved("exists c from xs where (let a = c.n in exists c from ys where c.n = a)")

    assert repr(without_lets(found)) == repr(found)


def test_an_inner_variable_of_the_same_name_is_another() -> None:
    found = resolved("exists E from xEvent where (exists E from E.items where E.sku = 1)")
    assert isinstance(found, ast.Comprehension)
    condition = found.declarations[0].condition
    assert condition is not None

    bound = bind_item(condition, "E")

    assert to_text(ast.Filter(ast.EventsRef(), bound)) == (
        "xEvent[exists E from items where E.sku = 1]"
    )


def doubled(times: int) -> str:
    """An expression that would have so many powers of two of terms without its lets."""
    lets = "".join(f"let v{n} = v{n - 1} + v{n - 1} in " for n in range(1, times + 1))
    return f"let v0 = xEvent.count() in {lets}v{times} > {2**times}"


@pytest.mark.parametrize("times", [2, 40])
def test_lets_that_would_explode_are_evaluated_one_by_one(times: int) -> None:
    text = doubled(times)
    store, model = Store([text], EngineLimits(), 10), Model([text], EngineLimits())
    key = ProfileKey(TENANT, "p")

    for number in (1, 2):
        update = make_update(
            key, number, BASE_MS + number, event={"eventType": "a"}, event_ms=BASE_MS + number
        )
        store.apply([update], update.record_ms)
        model.update(update, update.record_ms)
        assert store.members(key) == model.members(update.record_ms)
    assert store.members(key) == {"s0"}

    store.apply([], BASE_MS + 40 * DAY_MS, idle=True)
    assert store.members(key) == set()
    assert evaluation_of(resolved(text)) == "incremental"
