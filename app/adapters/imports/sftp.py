"""Files of an SFTP server, as a file system of fsspec that only reads.

The one that fsspec has believes any host key, and lets threads share an SFTP session, which
paramiko does not: whoever waits for an answer may take away another's. Here the server has to show
a host key that the connection names. The SSH connection is shared and made anew when it broke; each
use has a session of its own on it.
"""

from __future__ import annotations

import base64
import io
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import paramiko
from fsspec.spec import AbstractFileSystem

from app.service.import_sources import SourceProblem

_LOGIN = ("host", "port", "username", "password", "key_filename", "passphrase")
OPTIONS = (*_LOGIN, "host_key", "known_hosts")
"""What `options` of a connection may have."""

TIMEOUT_S = 20.0
"""How long the server may leave each step unanswered."""

_BUFFER_BYTES = 262_144
_KEEPALIVE_S = 30


def check_options(options: Mapping[str, Any]) -> None:
    """Check the options of a connection.

    Raises:
        ValueError: Says what is wrong, without any value.
    """
    if unknown := options.keys() - set(OPTIONS):
        raise ValueError(
            f"options has {len(unknown)} unknown names; known are {', '.join(OPTIONS)}"
        )
    for name in OPTIONS:
        kinds: type | tuple[type, ...] = str
        if name == "port":
            kinds = int
        elif name == "host_key":
            kinds = (str, list)
        if name in options and not (isinstance(options[name], kinds) and options[name]):
            raise ValueError(f"options.{name} is no {'number' if kinds is int else 'text'}")
    if missing := [name for name in ("host", "username") if name not in options]:
        raise ValueError(f"options lacks {', '.join(missing)}")
    if "password" not in options and "key_filename" not in options:
        raise ValueError("options lacks password or key_filename")
    if "host_key" not in options and "known_hosts" not in options:
        raise ValueError(
            "options lacks host_key (as in a file of known hosts, without the host: ssh-ed25519"
            " AAAA…) or known_hosts (path of such a file): no other server is believed"
        )
    _host_keys(options)


def _host_keys(options: Mapping[str, Any]) -> list[paramiko.PKey]:
    given = options.get("host_key", [])
    return [_host_key(text) for text in ([given] if isinstance(given, str) else given)]


def _host_key(text: str) -> paramiko.PKey:
    try:
        kind, data = text.split()[:2]
        return paramiko.PKey.from_type_string(kind, base64.b64decode(data, validate=True))
    except Exception:
        # A key of another kind may have been put there, a secret one.
        raise ValueError(
            "options.host_key is no public key such as ssh-ed25519 AAAA…, or a list of them"
        ) from None


_BROKE = "the connection to the SFTP server broke: try again"


class SftpFiles(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Reads files of one server. All methods raise `SourceProblem`, and `OSError` about a file.

    Args:
        options: Those of a connection, checked.
        timeout_s: How long the server may leave each step unanswered.
    """

    protocol = "sftp"
    cachable = False

    def __init__(self, options: Mapping[str, Any], timeout_s: float = TIMEOUT_S) -> None:
        super().__init__(use_listings_cache=False)
        self._options = dict(options)
        self._timeout_s = timeout_s
        self._client: paramiko.SSHClient | None = None
        self._connecting = threading.Lock()

    def realpath(self, path: str) -> str:
        """Return a path without links, as the server sees it; a relative one is below its home."""
        with self._session() as session:
            found = session.normalize(path)
        return found if found is not None else path

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """Return what there is at a path; links are followed."""
        with self._session() as session:
            return _info(path, session.stat(path))

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        """Return what is in a folder; links are not followed."""
        with self._session() as session:
            found = [
                _info(f"{path.rstrip('/')}/{one.filename}", one)
                for one in session.listdir_attr(path)
            ]
        return found if detail else [one["name"] for one in found]

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> io.BufferedReader:
        assert mode == "rb"
        with ExitStack() as stack:
            session = stack.enter_context(self._session())
            file = stack.enter_context(session.open(path, "rb", bufsize=0))
            size = file.stat().st_size or 0
            return io.BufferedReader(_OpenFile(file, size, stack.pop_all()), _BUFFER_BYTES)

    def close(self) -> None:
        """End the connection; the next use makes another."""
        with self._connecting:
            if self._client is not None:
                self._client.close()
                self._client = None

    @contextmanager
    def _session(self) -> Iterator[paramiko.SFTPClient]:
        with _told():
            session = self._new_session()
            try:
                yield session
            finally:
                session.close()

    def _new_session(self) -> paramiko.SFTPClient:
        client = self._connected()
        try:
            return self._session_of(client)
        except paramiko.ChannelException:
            # The server refuses more sessions; the connection is whole.
            raise
        except (paramiko.SSHException, EOFError, OSError):
            # It broke while nobody used it.
            with self._connecting:
                client.close()
            return self._session_of(self._connected())

    def _session_of(self, client: paramiko.SSHClient) -> paramiko.SFTPClient:
        transport = client.get_transport()
        if transport is None:
            raise EOFError
        session = paramiko.SFTPClient.from_transport(transport)
        assert session is not None
        channel = session.get_channel()
        assert channel is not None
        channel.settimeout(self._timeout_s)
        return session

    def _connected(self) -> paramiko.SSHClient:
        with self._connecting:
            transport = self._client.get_transport() if self._client is not None else None
            if self._client is None or transport is None or not transport.is_active():
                if self._client is not None:
                    self._client.close()
                self._client = None
                self._client = _log_in(self._options, self._timeout_s)
            return self._client


class _OpenFile(io.RawIOBase):
    """A file of a session that ends with it."""

    def __init__(self, file: paramiko.SFTPFile, size: int, session: ExitStack) -> None:
        self._file = file
        self._size = size
        self._session = session

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _told():
            data: bytes = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_CUR: self.tell(), io.SEEK_END: self._size}.get(whence, 0)
        self._file.seek(start + offset)
        return self.tell()

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        if not self.closed:
            super().close()
            # All that was wanted has been read.
            with suppress(SourceProblem, OSError):
                self._session.close()


class _UnknownHost(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]  # it has no types
    def missing_host_key(self, client: Any, hostname: str, key: paramiko.PKey) -> None:
        raise paramiko.BadHostKeyException(hostname, key, key)


def _log_in(options: Mapping[str, Any], timeout_s: float) -> paramiko.SSHClient:
    host, port = options["host"], options.get("port", 22)
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(_UnknownHost())
    try:
        _add_host_keys(client, host if port == 22 else f"[{host}]:{port}", options)
        client.connect(
            host,
            port,
            options["username"],
            options.get("password"),
            pkey=_key(options),
            # Nothing but what the connection names is tried.
            allow_agent=False,
            look_for_keys=False,
            timeout=timeout_s,
            banner_timeout=timeout_s,
            auth_timeout=timeout_s,
            channel_timeout=timeout_s,
        )
        transport = client.get_transport()
        if transport is not None:
            transport.set_keepalive(_KEEPALIVE_S)
    except paramiko.BadHostKeyException:
        client.close()
        raise SourceProblem(
            "the SFTP server shows a host key that the connection does not name: it may be another"
            " server; nothing was sent to it"
        ) from None
    except paramiko.AuthenticationException:
        client.close()
        raise SourceProblem("the SFTP server refuses the login of the connection") from None
    except (paramiko.SSHException, EOFError, OSError):
        client.close()
        raise SourceProblem("the SFTP server of the connection cannot be reached") from None
    except BaseException:
        client.close()
        raise
    return client


def _add_host_keys(client: paramiko.SSHClient, name: str, options: Mapping[str, Any]) -> None:
    try:
        if "known_hosts" in options:
            client.load_host_keys(options["known_hosts"])
    except (OSError, ValueError):
        raise SourceProblem("known_hosts of the connection cannot be read") from None
    for key in _host_keys(options):
        client.get_host_keys().add(name, key.get_name(), key)


def _key(options: Mapping[str, Any]) -> paramiko.PKey | None:
    if "key_filename" not in options:
        return None
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        # A file does not always tell which kind of key it has.
        with suppress(paramiko.SSHException, OSError, ValueError):
            key: paramiko.PKey = kind.from_private_key_file(
                options["key_filename"], options.get("passphrase")
            )
            return key
    raise SourceProblem(
        "the key of the connection cannot be read: correct key_filename or passphrase"
    )


@contextmanager
def _told() -> Iterator[None]:
    """Tell what became of the connection, without the words of the server."""
    try:
        yield
    except paramiko.ChannelException:
        raise SourceProblem("the SFTP server refuses another session: try later") from None
    except (paramiko.SSHException, EOFError, ConnectionError, TimeoutError):
        raise SourceProblem(_BROKE) from None
    except OSError as error:
        # What paramiko says of a channel that it has closed itself; a file's errors say more.
        if error.errno is None and str(error) == "Socket is closed":
            raise SourceProblem(_BROKE) from None
        raise


def _info(name: str, found: paramiko.SFTPAttributes) -> dict[str, Any]:
    mode = found.st_mode or 0
    kind = {stat.S_IFDIR: "directory", stat.S_IFREG: "file"}.get(stat.S_IFMT(mode), "other")
    return {"name": name, "size": found.st_size, "type": kind, "mtime": found.st_mtime}
