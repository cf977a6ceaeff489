"""An SFTP server on loopback that shows a folder, by the server's side of paramiko."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import paramiko

HOME = "/home/reader"
PASSWORD = "hunter2-s3cret"


class _Login(paramiko.ServerInterface):  # type: ignore[misc]  # it has no types
    def __init__(self, server):
        self.server = server

    def check_auth_password(self, username, password):
        is_right = (username, password) == ("reader", PASSWORD)
        return paramiko.AUTH_SUCCESSFUL if is_right else paramiko.AUTH_FAILED

    def check_auth_publickey(self, username, key):
        is_right = username == "reader" and key == self.server.client_key
        return paramiko.AUTH_SUCCESSFUL if is_right else paramiko.AUTH_FAILED

    def get_allowed_auths(self, username):
        return "password,publickey"

    def check_channel_request(self, kind, chanid):
        return paramiko.OPEN_SUCCEEDED


class _Handle(paramiko.SFTPHandle):  # type: ignore[misc]  # it has no types
    def stat(self):
        return paramiko.SFTPAttributes.from_stat(os.fstat(self.readfile.fileno()))


class _Files(paramiko.SFTPServerInterface):  # type: ignore[misc]  # it has no types
    def __init__(self, server, *args, root, **kwargs):
        super().__init__(server, *args, **kwargs)
        self.root = root
        self.may_answer = server.server.may_answer

    def _real(self, path):
        return self.root + self._absolute(path)

    def _absolute(self, path):
        return os.path.normpath(path if path.startswith("/") else f"{HOME}/{path}")

    def canonicalize(self, path):
        return "/" + os.path.realpath(self._real(path)).removeprefix(self.root).lstrip("/")

    def list_folder(self, path):
        try:
            return [
                paramiko.SFTPAttributes.from_stat(one.stat(follow_symlinks=False), one.name)
                for one in os.scandir(self._real(path))
            ]
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)

    def stat(self, path):
        self.may_answer.wait()
        try:
            return paramiko.SFTPAttributes.from_stat(os.stat(self._real(path)))
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)

    def open(self, path, flags, attr):
        try:
            file = open(self._real(path), "rb")  # noqa: SIM115
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)
        handle = _Handle(flags)
        handle.readfile = file
        return handle


class SftpServer:
    """Serves while its context is open; `stop` and `start` take it away and bring it back."""

    def __init__(self, root: Path) -> None:
        self.root = os.path.realpath(root)
        self.home = root / HOME.lstrip("/")
        self.home.mkdir(parents=True)
        self.key = paramiko.ECDSAKey.generate()
        self.client_key: paramiko.PKey | None = None
        self.port = 0
        self.connections = 0
        self.may_answer = threading.Event()
        self.may_answer.set()
        self._transports: list[paramiko.Transport] = []
        self._stopping = threading.Event()

    def options(self, **more):
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "username": "reader",
            "password": PASSWORD,
            "host_key": f"{self.key.get_name()} {self.key.get_base64()}",
            **more,
        }

    def start(self):
        self._stopping.clear()
        self._socket = socket.create_server(("127.0.0.1", self.port))
        self._socket.settimeout(0.05)
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def stop(self):
        self._stopping.set()
        self.may_answer.set()
        self._thread.join()
        self._socket.close()
        for transport in self._transports:
            transport.close()
        self._transports.clear()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def _accept(self):
        while not self._stopping.is_set():
            try:
                accepted, _ = self._socket.accept()
            except TimeoutError:
                continue
            accepted.setblocking(True)
            self.connections += 1
            transport = paramiko.Transport(accepted)
            transport.add_server_key(self.key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, _Files, root=self.root)
            transport.start_server(event=threading.Event(), server=_Login(self))
            self._transports.append(transport)
