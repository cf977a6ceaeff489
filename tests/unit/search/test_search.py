"""Search over a real index in memory: what each form of a query finds, and in which order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.adapters.search.index import TenantIndex, TenantView
from app.domain.model import Tenant
from app.domain.search import SEGMENT_NAMESPACE, SearchDocument
from app.service.search import SUCCESS, EntityQuery, RefusedQuery, Search

TENANT = Tenant("org@AdobeOrg", "prod")
TRAITS = "AAMTraits"


def segment(entity_id: str, name: str, description: str = "", **more: object) -> SearchDocument:
    base = SearchDocument(
        namespace=SEGMENT_NAMESPACE,
        entity_id=entity_id,
        source_id=entity_id,
        name=name,
        description=description,
        created_ms=ord(entity_id[0]),
    )
    return replace(base, **more)  # type: ignore[arg-type]


def folder(entity_id: str, name: str, parent: str = "root") -> SearchDocument:
    return segment(
        entity_id, name, namespace=TRAITS, is_folder=True, parent_folder_id=parent, created_ms=0
    )


SEGMENTS = [
    segment("a", "Winter sale", "Buys skis before the snow melts"),
    segment("b", "Winter coats", "Summer prices, by e-mail only"),
    segment("c", "Summer camps", "Camping in the summer"),
    segment("d", "Hotel near the airport"),
    segment("e", "Motel guests", "Airport transfer from the hotel"),
    segment("F-12-AB", "Straße & Übernachtung (alt)", created_ms=1),
]
FOLDERS = [
    folder("cars", "Fast cars"),
    folder("red", "Red cars", "cars"),
    segment("t", "Porsche drivers", namespace=TRAITS, parent_folder_id="red"),
    segment("u", "Cars of others", namespace=TRAITS),
]


class _Index:
    def __init__(self, documents: list[SearchDocument]) -> None:
        self.index = TenantIndex()
        self.index.replace(documents)

    def view(self, tenant: Tenant) -> TenantView:
        return self.index.view


@pytest.fixture(scope="module")
def search() -> Search:
    return Search(_Index(SEGMENTS + FOLDERS))


def found(search: Search, text: str | None, namespace: str = SEGMENT_NAMESPACE, **more: object):
    query = EntityQuery(namespace=namespace, text=text, **more)  # type: ignore[arg-type]
    return [document.entity_id for document in search.entities(TENANT, query).items]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        (None, "e d c b a F-12-AB"),
        (" ", "e d c b a F-12-AB"),
        ("*:*", "e d c b a F-12-AB"),
        ("winter", "b a"),
        ("WINTER", "b a"),
        ("summer winter", "b c a"),  # b has both; c has one of them in its name, as a
        ("winter AND skis", "a"),
        ("winter AND NOT skis", "b"),
        ("winter NOT skis", "b"),
        ("summer -winter", "c"),
        ("NOT winter", "e d c F-12-AB"),
        ("NOT winter AND summer", "c"),
        ("skis OR NOT winter", "a e d c F-12-AB"),
        ("+summer winter", "b c"),
        ("(skis OR camps) AND summer", "c"),
        ("cam*", "c"),
        ("camp?", "c"),
        ("camp", ""),
        ("*otel", "e d"),
        ("?otel", "e d"),
        ('"winter sale"', "a"),
        ('"sale winter"', ""),
        ('"near the airport"', "d"),
        ('"winter"', "b a"),
        ('"hotel airport"', ""),
        ('"hotel airport"~1', ""),
        ('"hotel airport"~2', "d"),
        ('"hotel airport"~5', "d e"),
        ("wimter~1", "b a"),
        ("wniter~1", "b a"),  # two letters swapped are one edit
        ("wimtre~1", ""),
        ("wimter~", "b a"),
        ("winter~0", "b a"),
        ("/[mh]otel/", "e d"),
        ("/^[MH]otel$/", "e d"),
        ("/hote/", ""),
        ("/camp(s|ing)/", "c"),
        ("e-mail", "b"),
        ("mail-e", ""),
        ("straße", "F-12-AB"),
        ("ÜBERNACHTUNG", "F-12-AB"),
        ("Über*", "F-12-AB"),
        ("f-12-ab", "F-12-AB"),
        ("winter AND & AND sale", "a"),
        ("&", ""),
        ("nothing", ""),
        ("segmentName:summer", "c"),
        ("segmentDescription:summer", "c b"),
        ("segmentDescription:(summer AND prices)", "b"),
        ("name:winter AND coats", "b"),
        ("segmentName:winter AND segmentDescription:skis", "a"),
        ("segmentId:F-12-AB", "F-12-AB"),
        ("segmentId:f-12*", "F-12-AB"),
        ("segmentId:F", ""),
        ("parentFolderId:root", "e d c b a F-12-AB"),
        ("folderId:cars", ""),
        ("root", ""),
        ("hotel^0.5 winter", "b a d e"),
    ],
)
def test_what_a_query_finds_best_matches_first(search: Search, text: str, ids: str) -> None:
    assert found(search, text) == ids.split()


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        (None, "cars red u t"),
        ("cars", "cars red u"),
        ("name:cars", "cars red u"),
        ("segmentName:cars", "u"),
        ("folderId:cars", "cars"),
        ("folderId:u", ""),
        ("segmentId:red", ""),
        ("folderLocation:fast", "cars red"),
        ('folderLocation:"fast cars red"', "red"),
        ("parentFolderId:cars", "red"),
        ("parentFolderId:red", "t"),
    ],
)
def test_folders_come_first_and_have_fields_of_their_own(
    search: Search, text: str, ids: str
) -> None:
    assert found(search, text, TRAITS) == ids.split()


@pytest.mark.parametrize(
    ("folder_id", "text", "ids"),
    [
        ("root", None, "cars red u t"),
        ("cars", None, "red t"),
        ("red", None, "t"),
        ("cars", "cars", "red"),
        ("u", None, ""),
    ],
)
def test_a_folder_limits_the_search_at_any_depth(
    search: Search, folder_id: str, text: str | None, ids: str
) -> None:
    assert found(search, text, TRAITS, folder_id=folder_id) == ids.split()


def test_pages_follow_each_other_and_have_one_total(search: Search) -> None:
    pages = [
        search.entities(
            TENANT, EntityQuery(namespace=SEGMENT_NAMESPACE, text="NOT x", limit=4, page=page)
        )
        for page in range(3)
    ]
    assert [len(page.items) for page in pages] == [4, 2, 0]
    assert {page.total for page in pages} == {6}
    everything = found(search, "NOT x")
    assert [one.entity_id for page in pages for one in page.items] == everything


def test_namespaces_are_counted_folders_too(search: Search) -> None:
    assert search.namespaces(TENANT, None) == [(TRAITS, 4), (SEGMENT_NAMESPACE, 6)]
    assert search.namespaces(TENANT, "cars") == [(TRAITS, 3)]
    assert search.namespaces(TENANT, "nothing") == []


def test_what_is_not_there_is_told(search: Search) -> None:
    unknown = search.entities(TENANT, EntityQuery(namespace="Elsewhere"))
    assert (unknown.items, unknown.message) == ((), "There is no namespace 'Elsewhere'.")
    astray = search.entities(TENANT, EntityQuery(namespace=TRAITS, folder_id="blue"))
    assert (astray.items, astray.message) == ((), f"There is no folder 'blue' in {TRAITS}.")
    assert search.taxonomy(TENANT, TRAITS, "z").message.startswith("There is nothing")
    assert search.taxonomy(TENANT, SEGMENT_NAMESPACE, "t").path == ()
    assert search.taxonomy(TENANT, "Elsewhere", "t").message.startswith("There is no namespace")


def test_the_taxonomy_goes_from_the_top_to_the_object(search: Search) -> None:
    found = search.taxonomy(TENANT, TRAITS, "t")
    assert found.message == SUCCESS
    assert [one.entity_id for one in found.path] == ["cars", "red", "t"]
    alone = search.taxonomy(TENANT, SEGMENT_NAMESPACE, "a")
    assert [one.entity_id for one in alone.path] == ["a"]


def test_folders_in_a_circle_end() -> None:
    search = Search(_Index([folder("x", "X", "y"), folder("y", "Y", "x")]))
    assert len(search.taxonomy(TENANT, TRAITS, "x").path) == 3
    assert found(search, "x", TRAITS) == ["x", "y"]


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("winter AND", 8, "nothing after"),
        ("a /[mh/", 4, "unclosed character class"),
        ("a /^[mh/", 5, "unclosed character class"),
        ("/ho(tel/", 4, "unclosed group"),
        (r"/hot\el/", 5, "unrecognized escape"),
        (r"a /hot\bel/", 4, "anchor inside"),
        ("/a{9999}/", 2, "too large"),
    ],
)
def test_a_query_that_cannot_be_read_is_refused_at_its_place(
    search: Search, text: str, column: int, said: str
) -> None:
    with pytest.raises(RefusedQuery) as caught:
        found(search, text)
    (detail,) = caught.value.details
    assert (detail.line, detail.column) == (1, column)
    assert said in detail.message
    assert detail.message in caught.value.message


def test_a_regular_expression_is_checked_where_there_is_nothing_to_find() -> None:
    class Nothing:
        def view(self, tenant: Tenant) -> TenantView:
            return TenantView()

    empty = Search(Nothing())
    assert empty.namespaces(TENANT, "a") == []
    with pytest.raises(RefusedQuery):
        empty.namespaces(TENANT, "/[/")


def test_only_what_differs_is_written_and_all_of_it_is_found() -> None:
    held = _Index(SEGMENTS)
    search = Search(held)
    before = held.index.view
    renamed = replace(SEGMENTS[0], name="Autumn sale")
    held.index.replace([renamed, *SEGMENTS[2:], segment("n", "Winter new")])
    assert found(search, "winter") == ["n"]
    assert found(search, "autumn") == ["a"]
    assert found(search, "NOT zzz") == ["n", "e", "d", "c", "a", "F-12-AB"]
    assert len(before.documents) == 6  # a view that somebody still holds stays whole
    held.index.replace([])
    assert found(search, "NOT zzz") == []
    held.index.replace(SEGMENTS)
    assert found(search, "winter") == ["b", "a"]


def test_a_renamed_folder_is_found_at_its_new_place() -> None:
    held = _Index(FOLDERS)
    held.index.replace([replace(FOLDERS[0], name="Quick cars"), *FOLDERS[1:]])
    search = Search(held)
    assert found(search, "folderLocation:fast", TRAITS) == []
    assert found(search, "folderLocation:quick", TRAITS) == ["cars", "red"]
