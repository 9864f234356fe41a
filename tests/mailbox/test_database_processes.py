"""One SQLite file and several processes: none may take the write-ahead log away from another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sqlalchemy import text

from dcc.mailbox.database import Database

LOOK = """
import sys
from sqlalchemy import text
from dcc.mailbox.database import Database
database = Database(sys.argv[1])
with database.read() as conn:
    print(conn.execute(text("SELECT count(*) FROM told")).scalar_one())
database.close()
"""


def looked(url: str) -> int:
    """What another process sees; it opens the file, and closes it as the last of its own."""
    found = subprocess.run([sys.executable, "-c", LOOK, url], capture_output=True, text=True, check=True, timeout=60)
    return int(found.stdout)


def test_a_process_that_comes_and_goes(tmp_path: Path) -> None:
    """What is written after a command has looked and ended is seen by the next one: the log is still the common one."""
    url = f"sqlite:///{tmp_path / 'dcc.sqlite'}"
    database = Database(url)
    try:
        with database.begin() as conn:
            conn.execute(text("CREATE TABLE told (what TEXT)"))
        with database.read() as first, database.read() as second:  # several connections of the pool, opened in turn
            assert first is not second
        for count in range(1, 4):
            with database.begin() as conn:
                conn.execute(text("INSERT INTO told VALUES ('x')"))
            assert looked(url) == count
    finally:
        database.close()
