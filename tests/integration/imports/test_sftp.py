"""Files of an SFTP server: read as those of a folder, and only from the server that was named."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
from contextlib import asynccontextmanager

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from paramiko import ECDSAKey, Ed25519Key, RSAKey

from app.adapters.imports.connections import read_connections
from app.adapters.imports.sftp import SftpFiles
from app.adapters.imports.sources import FileSources
from app.domain.errors import ConfigurationError
from app.domain.external import ImportSource
from app.domain.model import Tenant
from app.service.import_sources import SourceProblem
from tests.integration.imports.sftp_server import PASSWORD, SftpServer

pytestmark = pytest.mark.loopback

TENANT = Tenant("org@AdobeOrg", "prod")


@pytest.fixture
def server(tmp_path):
    with SftpServer(tmp_path / "server") as server:
        yield server


def written(folder, options, root="exports"):
    entry = {
        "id": "one",
        "cloudType": "SFTP",
        "root": root,
        "orgId": TENANT.org_id,
        "sandboxes": [TENANT.sandbox_name],
        "options": options,
    }
    path = folder / "connections.json"
    path.write_text(json.dumps({"connections": [entry]}))
    return read_connections(path)


@asynccontextmanager
async def connected(folder, options, root="exports"):
    sources = FileSources(None, written(folder, options, root))
    async with sources.running():
        yield sources


def at(path, kind="file"):
    return ImportSource(path, kind, "SFTP", connection_id="one")


async def rows(sources, source, file):
    async with sources.open(TENANT, source, file, ["id"]) as opened:
        return [dict(row)["id"] for row in await opened.take(100_000)]


async def all_rows(sources, source):
    found = await sources.files(TENANT, source)
    return {one.file.path: await rows(sources, source, one.file) for one in found if one.is_known}


def put(server, path, ids, root="exports"):
    target = server.home / root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    data = "\n".join(["id", *ids]).encode()
    target.write_bytes(gzip.compress(data) if path.endswith(".gz") else data)
    return target


async def test_files_of_every_format_in_a_folder(server, tmp_path):
    put(server, "in/a.csv", ["a", "b"])
    put(server, "in/deep/b.csv.gz", ["c"])
    put(server, "in/notes.txt", [])
    (server.home / "exports/in/c.jsonl").write_text('{"id": "d"}\n')
    pq.write_table(pa.table({"id": ["e", "f"]}), server.home / "exports/in/d.parquet")
    expected = {
        "in/a.csv": ["a", "b"],
        "in/c.jsonl": ["d"],
        "in/d.parquet": ["e", "f"],
        "in/deep/b.csv.gz": ["c"],
    }
    # Below the home of the account, and from the root of the server.
    for root in ("exports", "./exports/", "/home/reader/exports"):
        async with connected(tmp_path, server.options(), root) as sources:
            assert await all_rows(sources, at("in", "folder")) == expected
    async with connected(tmp_path, server.options(), "/") as sources:
        path = "home/reader/exports/in/a.csv"
        assert await all_rows(sources, at(path)) == {path: ["a", "b"]}


async def test_threads_share_a_connection_and_no_answers(server, tmp_path):
    names = [f"{number}.csv" for number in range(4)]
    for name in names:
        # More than fits into a buffer.
        put(server, name, [f"{name}-{number:06}" for number in range(30_000)])

    async def read(name):
        (found,) = (await all_rows(sources, at(name))).values()
        return len(found) == 30_000 and all(one.startswith(name) for one in found)

    async with connected(tmp_path, server.options()) as sources:
        assert await asyncio.gather(*[read(name) for name in names]) == [True] * 4
    assert server.connections == 1


async def test_what_changed_or_is_not_there_is_said(server, tmp_path):
    target = put(server, "m.csv", ["a"])
    async with connected(tmp_path, server.options()) as sources:
        (found,) = await sources.files(TENANT, at("m.csv"))
        assert found.modified_s == int(target.stat().st_mtime)
        put(server, "m.csv", ["a", "b"])
        with pytest.raises(SourceProblem, match="has changed since"):
            await rows(sources, at("m.csv"), found.file)
        for source, told in [
            (at("none.csv"), "there is no file none.csv"),
            (at("none", "folder"), "there is no folder none"),
            (at("m.csv", "folder"), "is not a folder"),
        ]:
            with pytest.raises(SourceProblem, match=told):
                await sources.files(TENANT, source)


async def test_links_lead_nowhere_else(server, tmp_path):
    real = put(server, "real.csv", ["a"])
    theirs = put(server, "theirs.csv", ["x"], root="others")
    (server.home / "exports/inside.csv").symlink_to(real)
    (server.home / "exports/outside.csv").symlink_to(theirs)
    (server.home / "exports/up").symlink_to(theirs.parent)
    async with connected(tmp_path, server.options()) as sources:
        assert await all_rows(sources, at("inside.csv")) == {"real.csv": ["a"]}
        for source in (at("outside.csv"), at("up/theirs.csv"), at("up", "folder")):
            with pytest.raises(SourceProblem, match="leads out of the root of the connection"):
                await sources.files(TENANT, source)
        (found,) = await sources.files(TENANT, at("real.csv"))
        real.unlink()
        real.symlink_to(theirs)
        with pytest.raises(SourceProblem, match="leads out of the root of the connection"):
            await rows(sources, at("real.csv"), found.file)


async def test_a_server_that_was_away_is_found_again(server, tmp_path):
    put(server, "m.csv", ["a"] * 400_000)
    async with connected(tmp_path, server.options()) as sources:
        (found,) = await sources.files(TENANT, at("m.csv"))
        async with sources.open(TENANT, at("m.csv"), found.file, ["id"]) as opened:
            assert len(await opened.take(1)) == 1
            await asyncio.to_thread(server.stop)
            with pytest.raises(SourceProblem, match="connection to the SFTP server broke"):
                await opened.skip(400_000)
        with pytest.raises(SourceProblem, match="cannot be reached"):
            await sources.files(TENANT, at("m.csv"))
        await asyncio.to_thread(server.start)
        assert await sources.files(TENANT, at("m.csv")) == [found]
    assert server.connections == 2


def test_a_session_that_was_closed_is_told_as_a_broken_connection(server):
    put(server, "m.csv", ["a"] * 400_000)
    system = SftpFiles(server.options())
    try:
        with system.open("exports/m.csv") as file:
            assert len(file.read(1)) == 1
            # As when the end of the connection is noticed between two reads.
            file.raw._file.sftp.sock.close()
            with pytest.raises(SourceProblem, match="connection to the SFTP server broke"):
                file.read()
    finally:
        system.close()


def test_a_server_that_is_silent_is_not_waited_for(server):
    put(server, "m.csv", ["a"])
    system = SftpFiles(server.options(), timeout_s=2)
    try:
        assert system.info("exports/m.csv")["size"] == 4
        server.may_answer.clear()
        with pytest.raises(SourceProblem, match="connection to the SFTP server broke"):
            system.info("exports/m.csv")
        server.may_answer.set()
        assert system.info("exports/m.csv")["size"] == 4
    finally:
        system.close()
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(SourceProblem, match="cannot be reached"),
    ):
        SftpFiles(server.options(port=silent.getsockname()[1]), timeout_s=0.2).info("m.csv")


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (ed25519.Ed25519PrivateKey.generate, Ed25519Key),
        (lambda: rsa.generate_private_key(65537, 2048), RSAKey),
        (lambda: ec.generate_private_key(ec.SECP256R1()), ECDSAKey),
    ],
)
async def test_a_key_logs_in(server, tmp_path, made, kind):
    put(server, "m.csv", ["a"])
    # As ssh-keygen writes it.
    form = (Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    (tmp_path / "key").write_bytes(made().private_bytes(*form))
    server.client_key = kind.from_private_key_file(str(tmp_path / "key"))
    options = server.options(key_filename=str(tmp_path / "key"))
    del options["password"]
    async with connected(tmp_path, options) as sources:
        assert await all_rows(sources, at("m.csv")) == {"m.csv": ["a"]}


async def test_a_key_needs_its_passphrase(server, tmp_path):
    put(server, "m.csv", ["a"])
    server.client_key = ECDSAKey.generate()
    server.client_key.write_private_key_file(str(tmp_path / "key"), password="open-s3cret")
    options = server.options(key_filename=str(tmp_path / "key"), passphrase="open-s3cret")
    del options["password"]
    async with connected(tmp_path, options) as sources:
        assert await all_rows(sources, at("m.csv")) == {"m.csv": ["a"]}
    async with connected(tmp_path, {**options, "passphrase": "wrong-s3cret"}) as sources:
        with pytest.raises(SourceProblem, match="correct key_filename or passphrase"):
            await sources.files(TENANT, at("m.csv"))
    assert server.connections == 1


async def test_a_wrong_password_is_told_without_it(server, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    async with connected(tmp_path, server.options(password="wrong-s3cret")) as sources:
        with pytest.raises(SourceProblem, match="refuses the login") as refused:
            await sources.files(TENANT, at("m.csv"))
    assert refused.value.__cause__ is None
    told = "".join(map(logging.Formatter().format, caplog.records))
    assert "s3cret" not in refused.value.message + told
    assert "127.0.0.1" not in refused.value.message


async def test_only_the_server_that_was_named_is_logged_in_to(server, tmp_path):
    put(server, "m.csv", ["a"])
    mine = server.options()["host_key"]
    other = ECDSAKey.generate()
    strange = f"{other.get_name()} {other.get_base64()}"
    known = tmp_path / "known_hosts"

    async def ids(**more):
        options = {k: v for k, v in server.options(**more).items() if v is not None}
        async with connected(tmp_path, options) as sources:
            return await all_rows(sources, at("m.csv"))

    known.write_text(f"[127.0.0.1]:{server.port} {mine}\n")
    assert await ids(host_key=None, known_hosts=str(known)) == {"m.csv": ["a"]}
    assert await ids(host_key=[mine + " a comment"]) == {"m.csv": ["a"]}
    known.write_text(f"elsewhere.example.com {mine}\n")
    for wrong in (
        {"host_key": strange},
        {"host_key": None, "known_hosts": str(known)},
    ):
        with pytest.raises(SourceProblem, match="a host key that the connection does not name"):
            await ids(**wrong)
    known.unlink()
    with pytest.raises(SourceProblem, match="known_hosts of the connection cannot be read"):
        await ids(host_key=None, known_hosts=str(known))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"host_key": None}, "options lacks host_key"),
        ({"password": None}, "options lacks password or key_filename"),
        ({"host": None}, "options lacks host"),
        ({"host_key": "s3cret"}, "options.host_key is no public key"),
        ({"host_key": [7]}, "options.host_key is no public key"),
        ({"password": 7}, "options.password is no text"),
        ({"port": "22"}, "options.port is no number"),
        ({"s3cret": "s3cret"}, "options has 1 unknown names"),
    ],
)
def test_options_are_checked_at_the_start(server, tmp_path, change, told):
    options = {k: v for k, v in server.options(**change).items() if v is not None}
    with pytest.raises(ConfigurationError) as refused:
        written(tmp_path, options)
    assert told in refused.value.message
    assert "connection one cannot be used" in refused.value.message
    assert "s3cret" not in refused.value.message
    assert PASSWORD not in refused.value.message
