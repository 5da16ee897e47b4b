"""A PostgreSQL server of a test's own, on localhost only, which the test may stop, start and cut connections of."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [Path(p).parent for p in [shutil.which("initdb")] if p]


class Server:
    """A server, started. `url` is the storage's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.become = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"postgresql://ravine@127.0.0.1:{self.port}/postgres"
        self._run(BINARIES[-1] / "initdb", "-D", folder / "data", "-U", "ravine", "-A", "trust")
        self.start()

    def _run(self, *command) -> None:
        run = subprocess.run([*self.become, *command], cwd=self.folder, stdout=subprocess.DEVNULL, check=False)
        log = self.folder / "log"
        assert run.returncode == 0, log.read_text() if log.exists() else command

    def start(self) -> None:
        options = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories= -c fsync=off"
        control = [BINARIES[-1] / "pg_ctl", "-D", self.folder / "data", "-w"]
        self._run(*control, "-l", self.folder / "log", "-o", options, "start")

    def stop(self) -> None:
        """As a crash: whoever is connected is cut off."""
        self._run(BINARIES[-1] / "pg_ctl", "-D", self.folder / "data", "-w", "-m", "immediate", "stop")

    def cut(self) -> None:
        """End every connection, as a network or an administrator does."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where pid <> pg_backend_pid() and backend_type = 'client backend'"
            )


@pytest.fixture
def server():
    """A server for one test; where there is no PostgreSQL the test is skipped, and says so."""
    pytest.importorskip("psycopg", reason="needs the extra postgresql")
    if not BINARIES:
        pytest.skip("needs PostgreSQL's server: apt install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="ravine-test-"))  # pytest's own folders are closed to other users
    if os.geteuid() == 0:  # the server refuses to run as root
        if not shutil.which("runuser"):
            pytest.skip("PostgreSQL does not run as root, and there is no runuser")
        shutil.chown(folder, "postgres", "postgres")
    made = Server(folder)
    yield made
    made.stop()
    shutil.rmtree(folder)
