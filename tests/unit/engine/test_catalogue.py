"""Definitions compiled together: order, cycles, failures, and what is shared."""

from __future__ import annotations

from app.domain.limits import EngineLimits
from app.domain.model import DefinitionSet, RemovedDefinition, SegmentDefinition
from app.engine.catalogue import Catalogue, compile_catalogue
from tests.property.engine_model import TENANT

LIMITS = EngineLimits()


def catalogue_of(
    texts: dict[str, str],
    removed: tuple[RemovedDefinition, ...] = (),
    previous: Catalogue | None = None,
) -> Catalogue:
    definitions = tuple(
        SegmentDefinition(name, ordinal, 1, text)
        for ordinal, (name, text) in enumerate(texts.items())
    )
    return compile_catalogue(DefinitionSet(TENANT, "1-a", definitions, removed), LIMITS, previous)


def order(catalogue: Catalogue) -> list[str]:
    return [one.segment_id for one in catalogue.definitions]


def test_a_definition_comes_after_those_it_names() -> None:
    catalogue = catalogue_of(
        {"top": 'inSegment("mid") and not inSegment("low")', "mid": 'inSegment("low")', "low": "a"}
    )

    assert order(catalogue) == ["low", "mid", "top"]
    assert [one.rank for one in catalogue.definitions] == [0, 1, 2]
    assert [sorted(found) for found in catalogue.dependents] == [[1, 2], [2], []]


def test_a_cycle_fails_and_what_is_behind_it_while_the_others_run() -> None:
    catalogue = catalogue_of(
        {
            "self": 'inSegment("self")',
            "a": 'inSegment("b")',
            "b": 'inSegment("a")',
            "behind": 'inSegment("a") or x = 1',
            "apart": "x = 1",
        }
    )

    assert order(catalogue) == ["apart"]
    assert catalogue.failures.keys() == {"self", "a", "b", "behind"}
    assert "leads back" in catalogue.failures["self"]


def test_what_cannot_be_read_fails_with_its_reason_while_the_others_run() -> None:
    catalogue = catalogue_of({"broken": "x = ", "wrong": "noSuchFunction(x)", "right": "x = 1"})

    assert order(catalogue) == ["right"]
    assert catalogue.failures.keys() == {"broken", "wrong"}
    assert all(catalogue.failures.values())


def test_a_segment_nobody_defined_has_no_members() -> None:
    catalogue = catalogue_of({"a": 'inSegment("elsewhere")'})

    assert order(catalogue) == ["a"]
    assert catalogue.failures == {}


def test_removed_definitions_keep_their_names() -> None:
    gone = RemovedDefinition("gone", 7, 3)
    catalogue = catalogue_of({"a": "x = 1"}, (gone, RemovedDefinition("off", 8, 1, True)))

    assert catalogue.segment_ids == {0: "a", 7: "gone", 8: "off"}
    assert catalogue.removed == {7: 3, 8: 1}
    assert catalogue.inactive == {8}


def test_equal_filters_share_a_timeline_whatever_is_asked_of_them() -> None:
    of = 'xEvent[eventType = "buy" and price > 5{}]'
    day = " and timestamp occurs <= 1 day before now"
    catalogue = catalogue_of(
        {
            "any": of.format(""),
            "none": f"not {of.format('')}",
            "two": f"{of.format('')}.count() >= 2",
            "day": f"{of.format(day)}.count() < 3",
            "turned": 'xEvent[price > 5 and eventType = "buy"]',
            "exists": 'exists E from xEvent where E.eventType = "buy" and E.price > 5',
        }
    )

    assert len(catalogue.timelines) == 1
    (timeline,) = catalogue.timelines.values()
    assert len(timeline.terms) == 2


def test_an_event_only_meets_the_filters_of_its_type() -> None:
    catalogue = catalogue_of(
        {
            "buy": 'xEvent[eventType = "buy"]',
            "either": 'xEvent[eventType in ["buy", "sell"]]',
            "folded": 'xEvent[eventType.equals("SELL", false)]',
            "all": "xEvent[price > 5]",
        }
    )

    assert len(catalogue.timelines_for("buy")) == 3
    assert len(catalogue.timelines_for("Sell")) == 2
    assert len(catalogue.timelines_for("view")) == 1
    assert len(catalogue.timelines_for(None)) == 1


def test_what_did_not_change_is_not_analysed_again() -> None:
    first = catalogue_of({"a": "x = 1", "b": "x = 2"})

    second = catalogue_of({"a": "x = 1", "b": "x = 3"}, previous=first)

    assert second.analysed["a"] is first.analysed["a"]
    assert second.analysed["b"] is not first.analysed["b"]


def test_keys_of_stored_states_do_not_depend_on_the_rest_of_the_catalogue() -> None:
    text = 'xEvent[eventType = "buy"].sum(price) > 5'
    alone = catalogue_of({"a": text})
    beside = catalogue_of({"z": 'xEvent[eventType = "view"]', "a": text})

    assert alone.timelines.keys() < beside.timelines.keys()
