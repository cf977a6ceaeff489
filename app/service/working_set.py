"""The profiles that the engine of a partition has at hand: loaded, asked for, forgotten."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice

from app.domain.limits import EngineLimits
from app.domain.model import ProfileKey, ProfileUpdate, Tenant
from app.engine.catalogue import Catalogue
from app.engine.history import read_frames
from app.engine.profile import ProfileState, next_due
from app.engine.state_codec import decode
from app.engine.working import Profile
from app.service.profile_size import grows, is_oversized, is_unmeasured
from app.service.tenant_catalogues import TenantCatalogues

_SPARE_FRAMES = 64


class WorkingSet:
    """Profiles by key, those of the batch and those cached since, with their catalogues."""

    def __init__(self, limits: EngineLimits, cache_profiles: int = 0) -> None:
        """Start with no catalogue and an empty cache of at most `cache_profiles` profiles."""
        self._limits = limits
        self._cache_profiles = cache_profiles
        self._tenants: dict[Tenant, TenantCatalogues] = {}
        self._profiles: dict[ProfileKey, Profile] = {}

    def set_catalogue(self, tenant: Tenant, catalogue: Catalogue) -> None:
        """Swap the compiled definitions of a tenant; only between two batches."""
        self._tenant(tenant).swap(catalogue)

    def _tenant(self, tenant: Tenant) -> TenantCatalogues:
        found = self._tenants.get(tenant)
        if found is None:
            found = self._tenants[tenant] = TenantCatalogues(self._limits)
        return found

    def missing_states(self, keys: Iterable[ProfileKey]) -> list[ProfileKey]:
        """Return the keys, each once, whose packed state has to be loaded for this batch."""
        known = self._profiles
        return [key for key in dict.fromkeys(keys) if key not in known]

    def provide_states(self, loaded: Mapping[ProfileKey, bytes | None]) -> None:
        """Hand over what was stored for `missing_states`; None where nothing is.

        Raises:
            ConfigurationError: A state was written by another version of this program.
        """
        for key, packed in loaded.items():
            profile = Profile(ProfileState() if packed is None else decode(packed))
            profile.stored_due_ms = self._due_of(profile)
            self._profiles[key] = profile

    def outdated(self, keys: Iterable[ProfileKey]) -> list[ProfileKey]:
        """Return those whose definitions changed since they were last evaluated.

        Args:
            keys: Profiles that a scan looks at, their states were provided.
        """
        found = []
        for key in dict.fromkeys(keys):
            profile = self._profiles[key]
            # No update asked for it: it is among the first that the cache forgets.
            profile.was_used = False
            if self._is_outdated(key, profile):
                found.append(key)
        return found

    def _is_outdated(self, key: ProfileKey, profile: Profile) -> bool:
        state = profile.state
        return state.created and state.tag != self._tenant(key.tenant).stepper.catalogue.tag

    def stored_bytes(self, keys: Iterable[ProfileKey]) -> list[int]:
        """Return roughly how large the records of profiles are; their states were provided."""
        return [len(self._profiles[key].state.attributes_json) for key in keys]

    def unmeasured(self, updates: Iterable[ProfileUpdate]) -> list[ProfileKey]:
        """Return the keys, each once, of which `provide_event_bytes` is to tell the size."""
        profiles, limits = self._profiles, self._limits
        keys = {update.key for update in updates if grows(update)}
        return [key for key in keys if is_unmeasured(profiles[key], limits)]

    def provide_event_bytes(self, keys: Sequence[ProfileKey], sizes: Sequence[int]) -> None:
        """Hand over how large the stored frames of profiles are."""
        for key, size in zip(keys, sizes, strict=True):
            self._profiles[key].event_bytes = size

    def oversized(self, updates: Iterable[ProfileUpdate]) -> set[ProfileKey]:
        """Return the keys of profiles that are too large to take updates; most often none."""
        profiles, limits = self._profiles, self._limits
        keys = {update.key for update in updates}
        return {key for key in keys if is_oversized(profiles[key], limits)}

    def missing_events(
        self, keys: Iterable[ProfileKey], asked: Collection[ProfileKey] = ()
    ) -> list[ProfileKey]:
        """Return the keys, each once, whose event frames this batch needs; most often none.

        Args:
            keys: All of the batch; their states were provided.
            asked: Those of them whose events are needed in any case.
        """
        profiles = self._profiles
        found: list[ProfileKey] = []
        wanted = frozenset(asked)
        for key in dict.fromkeys(keys):
            profile = profiles[key]
            state = profile.state
            if profile.events is None and (
                key in wanted
                or self._tenant(key.tenant).needs_events(state.tag)
                or is_bloated(state)
            ):
                if state.frames:
                    found.append(key)
                else:
                    profile.events = []
        return found

    def provide_events(self, loaded: Mapping[ProfileKey, bytes | None]) -> None:
        """Hand over what was stored for `missing_events`; None where nothing is."""
        for key, frames in loaded.items():
            profile = self._profiles[key]
            profile.stored_frames = frames or b""
            profile.events = read_frames(profile.stored_frames, profile.state.orders)

    def _forget_events(self, key: ProfileKey, profile: Profile) -> None:
        """Bodies are only held while something reads them."""
        if not self._tenant(key.tenant).stepper.catalogue.history_ranks:
            profile.events = profile.stored_frames = None

    def _due_of(self, profile: Profile) -> int | None:
        state = profile.state
        if state.created:
            return next_due(state)
        return state.deleted_ms + self._limits.retention_ms if state.deleted_ms else None

    def _shrink_cache(self) -> None:
        profiles = self._profiles
        if not self._cache_profiles:
            profiles.clear()
            return
        spare = len(profiles) - self._cache_profiles
        while spare > 0:
            for key in list(islice(profiles, spare)):
                profile = profiles.pop(key)
                if profile.was_used:
                    # A second chance, at the end: cheaper than moving it with every update.
                    profile.was_used = False
                    profiles[key] = profile
                else:
                    spare -= 1


def is_bloated(state: ProfileState) -> bool:
    """Tell whether more than half of the stored frames are of events no longer kept."""
    return state.frames > 2 * len(state.orders) + _SPARE_FRAMES
