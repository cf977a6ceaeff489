"""The one credential of a local stack, made once for a data folder."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

from app.adapters.local.files import write_private_json
from app.domain.errors import ConfigurationError

ORG_ID = "LOCAL@AdobeOrg"


@dataclass(frozen=True, slots=True)
class LocalCredential:
    """What a client of the local API sends; only the hash of the token is given to the API."""

    token: str = field(repr=False)
    api_key: str = field(repr=False)
    org_id: str
    sandbox_name: str

    def write_credentials_file(self, path: Path) -> None:
        """Write the file that SEG_CREDENTIALS_FILE names (format: docs/operations.md)."""
        credential = {
            "name": "local",
            "tokenSha256": hashlib.sha256(self.token.encode()).hexdigest(),
            "apiKey": self.api_key,
            "orgId": self.org_id,
            "sandboxes": [self.sandbox_name],
        }
        write_private_json(path, {"credentials": [credential]})


def load_or_create(data_dir: Path, org_id: str, sandbox_name: str) -> LocalCredential:
    """Return the credential of a data folder; makes it the first time.

    Args:
        data_dir: Where it is kept, readable by the owner only.
        org_id: Organisation, if set; a later run that sets another one moves the credential there.
        sandbox_name: The sandbox it opens.

    Raises:
        ConfigurationError: If the file is there but is not ours.
    """
    path = data_dir / "local-credential.json"
    if path.exists():
        try:
            kept = LocalCredential(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError, OSError) as error:
            raise ConfigurationError(
                f"{path} is no credential of a local stack ({error}): remove it to get a new one."
            ) from error
        token, api_key = kept.token, kept.api_key
        wanted = LocalCredential(token, api_key, org_id or kept.org_id, sandbox_name)
    else:
        wanted = LocalCredential(
            secrets.token_urlsafe(32), secrets.token_hex(16), org_id or ORG_ID, sandbox_name
        )
    write_private_json(path, asdict(wanted))
    return wanted
