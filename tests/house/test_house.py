"""The house stands as the design draws it: links, no shadowing, pins without addresses, imports downwards."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("gateway", "router", "mailbox", "smime", "cards", "templates")


@pytest.mark.parametrize("room", ROOMS)
def test_room_is_a_relative_link(room: str) -> None:
    """src/dcc/<room> is a relative symbolic link to the root folder; a checkout without links is named."""
    link = ROOT / "src" / "dcc" / room
    assert link.is_symlink(), (
        f"{link.name} is not a symbolic link: this checkout was made without them "
        "(on Windows: git config core.symlinks true, then check out again)"
    )
    assert link.readlink() == Path("../..") / room
    assert link.resolve() == ROOT / room


def test_mailbox_does_not_hide_the_standard_library() -> None:
    """With the root on the path, `import mailbox` is still the standard library's."""
    assert not (ROOT / "mailbox" / "__init__.py").exists()
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import mailbox; print(mailbox.__file__)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()).parent != ROOT / "mailbox"


def test_requirements_name_no_host() -> None:
    """requirements.txt holds neither an address nor an index option, and every pin has a hash."""
    text = (ROOT / "requirements.txt").read_text()
    assert "://" not in text
    assert not re.search(r"^\s*(-i|--(extra-)?index-url|--find-links|-f)\b", text, re.M)
    pins = [line for line in text.splitlines() if re.match(r"^[a-z0-9A-Z._-]+(\[[a-z,]+\])?==", line)]
    assert len(pins) > 20
    assert text.count("--hash=sha256:") >= len(pins)


ALLOWED = {
    "gateway": {"gateway", "router", "mailbox", "smime", "cards", "templates"},
    "router": {"router", "mailbox", "smime", "cards", "templates"},
    "mailbox": {"mailbox", "cards"},
    "smime": {"smime"},
    "cards": {"cards"},
    "templates": {"templates"},
}


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_imports_only_what_lies_below(room: str) -> None:
    """gateway -> router -> mailbox, smime, cards; smime and cards import no other folder."""
    for path in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module == "dcc":
                names = [f"dcc.{alias.name}" for alias in node.names]
            for name in names:
                if name.startswith("dcc."):
                    target = name.split(".")[1]
                    assert target in ALLOWED[room] or target == "__version__", f"{path.relative_to(ROOT)}: {name}"


def test_import_contract_of_the_project_holds() -> None:
    """The import contract of pyproject.toml holds."""
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_oscrypto_is_never_imported() -> None:
    """oscrypto stays an installed dependency whose crypto is never loaded (decision 0002)."""
    code = (
        "import sys, dcc.smime.open, dcc.cards.judge, dcc.gateway.cli as c; c.build(); "
        "print([m for m in sys.modules if m.startswith('oscrypto.') and "
        "m not in ('oscrypto.errors', 'oscrypto.trust_list')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = [name for name in eval(found.stdout) if not name.split(".")[1].startswith("_")]
    assert "oscrypto.asymmetric" not in loaded


def test_no_module_imports_relatively() -> None:
    """Absolute imports only: relative ones give type checkers two types of one class."""
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            assert not re.search(r"^\s*from \.", path.read_text(), re.M), path.relative_to(ROOT)


def test_tests_are_not_a_package() -> None:
    """No tests/__init__.py, as importlib mode wants it."""
    assert not (ROOT / "tests" / "__init__.py").exists()
