"""Which updates a profile that is too large refuses."""

from __future__ import annotations

from app.domain.limits import EngineLimits
from app.domain.model import ExternalMembership, Origin, ProfileKey, ProfileUpdate, Tenant
from app.engine.profile import ProfileState
from app.engine.working import Profile
from app.service.profile_size import is_oversized, is_unmeasured, refused

LIMITS = EngineLimits(profile_bytes=1_000, event_bytes=100)
KEY = ProfileKey(Tenant("org", "prod"), "p-1")


def update(**more: object) -> ProfileUpdate:
    return ProfileUpdate(KEY, Origin("updates", 0, 0), 0, **more)  # type: ignore[arg-type]


def test_what_adds_is_refused_until_the_profile_is_deleted() -> None:
    adds, deletes = update(attributes={"a": 1}), update(deletes=True)
    told = update(external=ExternalMembership("audience", 1))
    given = [adds, told, update(event={}), deletes, adds]
    assert refused((one, True) for one in given) == [True, False, True, False, False]
    assert not any(refused((one, False) for one in given))


def test_the_size_of_events_is_asked_only_where_their_number_allows_an_excess() -> None:
    profile = Profile(ProfileState(frames=10))
    assert not is_unmeasured(profile, LIMITS)
    profile.state.frames = 11
    assert is_unmeasured(profile, LIMITS)
    profile.event_bytes = 900
    assert not is_unmeasured(profile, LIMITS)


def test_state_and_events_count_together() -> None:
    profile = Profile(ProfileState())
    profile.state.base_bytes, profile.state.log_bytes = 300, 100
    profile.event_bytes = 600
    assert not is_oversized(profile, LIMITS)
    profile.event_bytes = 601
    assert is_oversized(profile, LIMITS)
