"""How long a search takes over many definitions, in this process, without the network.

python -m tests.bench.search [--definitions 10000] [--searches 2000]
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator

from app.adapters.search.index import TenantIndex, TenantView
from app.domain.model import Tenant
from app.domain.search import SEGMENT_NAMESPACE, SearchDocument
from app.service.search import EntityQuery, Search

TENANT = Tenant("bench@AdobeOrg", "prod")
_FIRST = [
    "Loyal",
    "New",
    "Lost",
    "Frequent",
    "Young",
    "Former",
    "Silver",
    "Golden",
    "Weekly",
    "Daily",
    "Nordic",
    "Alpine",
]
_SECOND = [
    "buyers",
    "visitors",
    "readers",
    "members",
    "guests",
    "drivers",
    "skiers",
    "runners",
    "parents",
    "students",
]
_THIRD = [
    "winter",
    "summer",
    "spring",
    "autumn",
    "holiday",
    "weekend",
    "airport",
    "hotel",
    "motel",
    "sale",
    "outlet",
]
FORMS = (
    "{third}",
    "{first} {second}",
    "{first} AND {second} AND {third}",
    "{second} NOT {third}",
    "segmentName:{third} OR {second}",
    '"{first} {second}"',
    '"{first} {third}"~4',
    "{third}~1",
    "{second}~",
    "{third:.3}*",
    "*{third:.2}*",
    "/[a-m]{third:.0}.*/",
    "NOT {third}",
    "*:*",
    None,
)
"""One of each kind; some find everything."""


class Held:
    """Implements `app.service.search.SearchIndex` for one tenant."""

    def __init__(self) -> None:
        self.index = TenantIndex()

    def view(self, tenant: Tenant) -> TenantView:
        return self.index.view


def documents(count: int, seed: int = 7) -> list[SearchDocument]:
    """Return made-up definitions with names of four words and descriptions of twenty."""
    chance = random.Random(seed)
    words = [*_FIRST, *_SECOND, *_THIRD, *(f"word{number}" for number in range(2_000))]
    return [
        SearchDocument(
            namespace=SEGMENT_NAMESPACE,
            entity_id=(segment_id := f"{chance.getrandbits(64):016x}-{number}"),
            source_id=segment_id,
            name=" ".join([*map(chance.choice, (_FIRST, _SECOND, _THIRD)), str(number)]),
            description=" ".join(chance.choices(words, k=20)),
            created_ms=number,
        )
        for number in range(count)
    ]


def queries(count: int, seed: int = 11) -> Iterator[EntityQuery]:
    """Return pages of searches of every form."""
    chance = random.Random(seed)
    for number in range(count):
        form = FORMS[number % len(FORMS)]
        text = form and form.format(
            first=chance.choice(_FIRST), second=chance.choice(_SECOND), third=chance.choice(_THIRD)
        )
        page = chance.choice((0, 0, 0, 1, 2))
        yield EntityQuery(namespace=SEGMENT_NAMESPACE, text=text, page=page)


def times_ms(search: Search, asked: Iterator[EntityQuery]) -> list[float]:
    """Return how long each search took, in milliseconds, sorted."""
    taken = []
    for query in asked:
        started = time.perf_counter()
        search.entities(TENANT, query)
        taken.append((time.perf_counter() - started) * 1_000)
    return sorted(taken)


def timed_ms(action: Callable[[], object]) -> float:
    """Return how long an action took, in milliseconds."""
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1_000


def percentile(taken: list[float], share: float) -> float:
    """Return the value that `share` of the sorted values do not exceed."""
    return taken[min(int(len(taken) * share), len(taken) - 1)]


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.bench.search", description=__doc__)
    parser.add_argument("--definitions", type=int, default=10_000)
    parser.add_argument("--searches", type=int, default=2_000)
    given = parser.parse_args()
    held, made = Held(), documents(given.definitions)
    built = timed_ms(lambda: held.index.replace(made))
    changed = timed_ms(lambda: held.index.replace(made[1:]))
    taken = times_ms(Search(held), queries(given.searches))
    print(
        f"{given.definitions:,} definitions: built in {built:.0f} ms, one less in {changed:.0f} ms"
    )
    shares = ", ".join(
        f"p{100 * share:g} {percentile(taken, share):.1f}" for share in (0.5, 0.9, 0.99)
    )
    print(f"{given.searches:,} searches: {shares}, longest {taken[-1]:.1f} ms")


if __name__ == "__main__":
    main()
