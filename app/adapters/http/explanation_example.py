"""An answer of `…/explain`, for OpenAPI; a test gets the same from the API."""

from __future__ import annotations

from app.domain.model import JsonObject

_CONDITION = 'eventType = "buy" and timestamp occurs <= 7 days before now'
_EVENTS = f"xEvent[{_CONDITION}]"
_TEXT = f"age > 17 and {_EVENTS}"
_FEWER = f"the 1 kept event that satisfies `{_CONDITION}` must go; only time takes events away"

EXAMPLE: JsonObject = {
    "profileId": "p-1",
    "segmentId": "5b1d9a2e-3f70-4c0b-8e6d-b2a7d1c4f901",
    "segmentName": "Buyers",
    "version": 1,
    "lifecycleState": "published",
    "evaluationState": "BACKFILLING",
    "evaluatedAt": "2026-01-05T10:00:00Z",
    "clock": "2026-01-05T10:00:00Z",
    "retention": {"days": 30, "since": "2025-12-06T10:00:00.001Z"},
    "membership": {
        "status": "realized",
        "lastQualificationTime": "2025-12-30T10:00:00Z",
        "sequence": 1,
    },
    "expression": _TEXT,
    "agreement": {"agrees": True, "reasons": []},
    "evaluatedVersion": 1,
    "qualifies": True,
    "eventCount": 3,
    "tree": {
        "kind": "and",
        "text": _TEXT,
        "start": 0,
        "end": 80,
        "line": 1,
        "column": 1,
        "value": True,
        "holds": True,
        "deciding": True,
        "children": [
            {
                "kind": ">",
                "text": "age > 17",
                "start": 0,
                "end": 8,
                "line": 1,
                "column": 1,
                "value": True,
                "holds": True,
                "deciding": True,
                "children": [
                    {
                        "kind": "field",
                        "text": "age",
                        "start": 0,
                        "end": 3,
                        "line": 1,
                        "column": 1,
                        "value": 30,
                        "holds": True,
                        "deciding": False,
                        "children": [],
                    }
                ],
            },
            {
                "kind": "filter",
                "text": _EVENTS,
                "start": 13,
                "end": 80,
                "line": 1,
                "column": 14,
                "value": [{"id": "e-2", "eventType": "buy", "timestamp": "2025-12-30T10:00:00Z"}],
                "valueCount": 1,
                "holds": True,
                "deciding": True,
                "children": [
                    {
                        "kind": "xEvent",
                        "text": "xEvent",
                        "start": 13,
                        "end": 19,
                        "line": 1,
                        "column": 14,
                        "value": [
                            {"id": "e-1", "eventType": "buy", "timestamp": "2025-12-28T10:00:00Z"},
                            {"id": "e-2", "eventType": "buy", "timestamp": "2025-12-30T10:00:00Z"},
                            {"id": "e-3", "eventType": "view", "timestamp": "2025-12-31T10:00:00Z"},
                        ],
                        "valueCount": 3,
                        "holds": True,
                        "deciding": False,
                        "children": [],
                    },
                    {
                        "kind": "and",
                        "text": _CONDITION,
                        "start": 20,
                        "end": 79,
                        "line": 1,
                        "column": 21,
                        "items": 3,
                        "itemsThatHold": 1,
                        "deciding": False,
                        "children": [
                            {
                                "kind": "=",
                                "text": 'eventType = "buy"',
                                "start": 20,
                                "end": 37,
                                "line": 1,
                                "column": 21,
                                "items": 3,
                                "itemsThatHold": 2,
                                "deciding": False,
                                "children": [],
                            },
                            {
                                "kind": "occurs",
                                "text": "timestamp occurs <= 7 days before now",
                                "start": 42,
                                "end": 79,
                                "line": 1,
                                "column": 43,
                                "items": 3,
                                "itemsThatHold": 2,
                                "from": "2025-12-29T10:00:00Z",
                                "until": "2026-01-05T10:00:00.001Z",
                                "deciding": False,
                                "children": [],
                            },
                        ],
                    },
                ],
            },
        ],
    },
    "events": [
        {
            "text": _EVENTS,
            "start": 13,
            "end": 80,
            "line": 1,
            "column": 14,
            "count": 1,
            "events": [{"id": "e-2", "eventType": "buy", "timestamp": "2025-12-30T10:00:00Z"}],
        }
    ],
    "sequences": [],
    "nextChange": {"at": "2026-01-06T10:00:00.001Z", "qualifies": False},
    "toFlip": {
        "qualifies": False,
        "alternatives": [
            {
                "needs": [
                    {
                        "kind": "attribute",
                        "words": "`age` must be at most 17 (or be missing); it is 30",
                        "text": "age > 17",
                        "start": 0,
                        "end": 8,
                        "line": 1,
                        "column": 1,
                        "becomes": False,
                        "path": "age",
                        "operator": "<=",
                        "operand": 17,
                        "current": 30,
                    }
                ],
                "checked": True,
                "updates": [{"attributes": {"age": 17}}],
            },
            {
                "needs": [
                    {
                        "kind": "fewer-events",
                        "words": _FEWER,
                        "text": _EVENTS,
                        "start": 13,
                        "end": 80,
                        "line": 1,
                        "column": 14,
                        "becomes": False,
                        "count": 1,
                        "current": 1,
                    }
                ],
                "checked": None,
                "updates": [],
            },
        ],
    },
    "segments": [],
    "notes": [],
}
