"""The rules of the house, held by reading the code: who may import whom, and who may touch the world outside."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import mdmprofile

PACKAGE = Path(mdmprofile.__file__).parent
LONGEST = 400
CATALOGUE = [
    "mdmprofile.catalogue_payloads",
    "mdmprofile.catalogue_replacement",
    "mdmprofile.catalogue_live",
    "mdmprofile.catalogue_devices",
    "mdmprofile.catalogue_delivery",
    "mdmprofile.catalogue_messages",
]


class Module(NamedTuple):
    """A module of the package: its path below the package, and its syntax tree."""

    path: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """The dotted name."""
        parts = ["mdmprofile", *Path(self.path).with_suffix("").parts]
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = [
    Module(file.relative_to(PACKAGE).as_posix(), ast.parse(file.read_text(encoding="utf-8")))
    for file in sorted(PACKAGE.rglob("*.py"))
]


def imports(tree: ast.AST) -> Iterator[str]:
    """Every name that is imported anywhere below, in functions too: modules, and what is taken from them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not used, so that each line names the module in full"
            yield from (f"{node.module}.{each.name}" for each in node.names)


def at_the_top(tree: ast.Module) -> Iterator[str]:
    """Every name that is imported when the module is loaded."""
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imports(node)


def belongs_to(name: str, packages: Iterable[str]) -> bool:
    """Whether the name is one of these packages or inside one."""
    return any(name == each or name.startswith(f"{each}.") for each in packages)


def importers(*packages: str) -> set[str]:
    """The paths of the modules that import one of these."""
    return {each.path for each in MODULES if any(belongs_to(name, packages) for name in imports(each.tree))}


def dotted(node: ast.expr) -> str:
    """``a.b.c`` as it is written; ``?.c`` where it begins with something else than a name."""
    if isinstance(node, ast.Name):
        return node.id
    return f"{dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else "?"


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Every call with what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield dotted(node.func), node


def users(*names: str) -> set[str]:
    """The paths of the modules that name one of these anywhere, called or not."""
    wanted = set(names)
    return {
        each.path
        for each in MODULES
        if any(dotted(node) in wanted for node in ast.walk(each.tree) if isinstance(node, ast.Name | ast.Attribute))
    }


def opens_for_writing(called: str, call: ast.Call) -> bool:
    """Whether the call opens a file to write to, makes or changes one."""
    method = called.rpartition(".")[2]
    if called == "os.open":
        # /dev/null in the place of a closed pipe is no file.
        return not (call.args and dotted(call.args[0]) == "os.devnull")
    if method in {"open", "fdopen"}:
        modes = [each.value for each in call.args if isinstance(each, ast.Constant)]
        modes += [
            each.value.value for each in call.keywords if each.arg == "mode" and isinstance(each.value, ast.Constant)
        ]
        return any(isinstance(each, str) and set(each) & set("wax+") and len(each) <= 3 for each in modes)
    return method in {"write_text", "write_bytes", "touch", "mkdir", "makedirs", "unlink", "rename", "renames", "chmod"}


def test_the_package_was_read() -> None:
    """A rule that looks at no module holds always."""
    assert {"__init__.py", "output.py", "cli/__init__.py", "reports/text.py"} <= {each.path for each in MODULES}


def test_nothing_but_the_command_itself_imports_the_command_line() -> None:
    """The library works without the command line."""
    outside = {path for path in importers("mdmprofile.cli") if not path.startswith("cli/")}
    assert outside == {"__main__.py"}


def test_click_is_known_to_the_command_line_alone() -> None:
    """Nobody who uses the library gets Click's exceptions."""
    assert {path for path in importers("click") if not path.startswith("cli/")} == set()


def test_rich_is_known_to_the_command_line_and_the_text_report_alone() -> None:
    """It is slow to import, and only a terminal needs it."""
    assert {path for path in importers("rich") if not path.startswith("cli/")} == {"reports/text.py"}


@pytest.mark.parametrize(
    ("package", "users_of_it"),
    [
        ("socket", {"probe/network.py"}),
        ("ssl", {"probe/tls.py"}),
        ("http", {"probe/http.py", "courier.py"}),
        ("urllib.request", {"probe/network.py"}),
        ("asyncio", {"middleware/asgi.py"}),
        ("ftplib", set()),
        ("smtplib", set()),
        ("socketserver", set()),
        ("xmlrpc", set()),
    ],
)
def test_only_the_probe_and_the_courier_talk_to_the_network(package: str, users_of_it: set[str]) -> None:
    """So that time, size and redirects are bounded in one place, and everything else is about bytes."""
    assert importers(package) == users_of_it


def test_what_judges_opens_no_connection() -> None:
    """The probe brings bytes and certificates; rules and reports get them handed."""
    connecting = [*(f"mdmprofile.probe.{each}" for each in ("network", "tls", "http", "pool")), "mdmprofile.courier"]
    asking = {each.partition("/")[0] for each in importers(*connecting)}
    # The package itself hands its public names on, and loads none of them.
    sending = {"courier.py", "deliver.py", "mdm_servers.py"}
    assert asking <= {"probe", "doctor", "cli", "live_targets.py", "__init__.py"} | sending


def test_files_are_written_by_output_alone() -> None:
    """So that each is complete or absent, and closed where a secret is inside."""
    found = {each.path for each in MODULES if any(opens_for_writing(*call) for call in calls(each.tree))}
    # An archive goes into a stream that output opened.
    assert found == {"output.py", "devices/archive.py"}


def test_no_temporary_file_is_made_elsewhere() -> None:
    """A secret in a temporary file is a secret on the disk."""
    assert importers("tempfile", "shutil.copy", "shutil.copyfile", "shutil.copy2", "shutil.move") == set()


def test_the_clock_is_read_in_one_place() -> None:
    """Everything else is told the time, so that ``--at`` holds everywhere."""
    clocks = {"now", "utcnow", "today", "fromtimestamp"}
    found = {
        each.path
        for each in MODULES
        if any(called.rpartition(".")[2] in clocks and "." in called for called, _ in calls(each.tree))
    }
    # A server judges each message when it comes.
    assert found == {"cli/params.py", "middleware/guard.py"}
    # How long a server may take is measured, and how fast it is asked, and neither is part of a judgement.
    assert importers("time") == {"probe/network.py", "cli/delivery_flags.py"}
    assert users("time.time", "time.time_ns", "time.gmtime", "time.localtime") == set()


def test_only_the_command_line_prints_and_exits() -> None:
    """A library that prints or exits takes both from its caller."""
    found = users("print", "sys.exit", "exit", "quit", "SystemExit", "os._exit")
    # A worker process whose parent was killed ends at once: nobody would record what it makes.
    assert {path for path in found if not path.startswith("cli/")} == {"devices/processes.py"}


def test_randomness_is_where_keys_and_temporary_names_are_made() -> None:
    """The same input gives the same profile, byte for byte."""
    modules = importers("random", "secrets") | users(
        "os.urandom", "uuid.uuid1", "uuid.uuid4", "x509.random_serial_number"
    )
    # Marks and tokens that nobody else has, in the profiles' preparation alone; and what a command is known by.
    assert modules == {"demo.py", "identities.py", "mdm_command.py", "output.py", "recipe.py", "stencil.py"}


def test_sqlite_is_used_where_its_errors_become_ours() -> None:
    """A database that is opened elsewhere has no bounds, and a traceback for an error."""
    assert importers("sqlite3") <= {"ledger.py", "ledger_file.py", "devices/spool.py", "pins_sqlite.py"}


def test_processes_are_started_in_one_place() -> None:
    """The commands that print a secret or sign are the administrator's own; others are this program again."""
    assert importers("subprocess", "pty") == {"commands.py"}
    assert importers("multiprocessing") == {"devices/processes.py"}
    assert importers("mdmprofile.commands") == {"secret.py", "cms/command.py"}
    assert users("os.system", "os.popen", "os.fork", "os.execv", "os.spawnv") == set()


def test_nothing_evaluates_or_unpickles() -> None:
    """Input is data."""
    assert users("eval", "exec", "compile", "__import__") == set()
    assert importers("pickle", "marshal", "shelve", "yaml") == set()


@pytest.mark.parametrize("module", MODULES, ids=[each.path for each in MODULES])
def test_no_module_is_longer_than_two_rooms(module: Module) -> None:
    """A long module is two that live in one file."""
    lines = (PACKAGE / module.path).read_text(encoding="utf-8").count("\n")
    assert lines <= LONGEST


def test_modules_that_everybody_imports_import_nobody() -> None:
    """The ground floor: errors, the rules' catalogue, dates and texts."""
    ground = {"errors.py", "catalogue.py", "moments.py", "printable.py", "urls.py", "payloads/base.py"}
    ground |= {"catalogue_payloads.py", "catalogue_replacement.py", "catalogue_live.py", "catalogue_devices.py"}
    ground |= {"catalogue_delivery.py", "catalogue_messages.py"}
    assert {each.path for each in MODULES if each.path in ground} == ground
    leaning = {
        each.path: sorted(
            name
            for name in imports(each.tree)
            # The catalogue is one list in several files.
            if belongs_to(name, ["mdmprofile"]) and not belongs_to(name, CATALOGUE)
        )
        for each in MODULES
        if each.path in ground
    }
    assert leaning == {each: [] for each in ground}


def test_no_module_needs_itself_to_be_loaded() -> None:
    """Circles of imports work until somebody imports them in another order."""
    known = {each.name for each in MODULES}
    needs = {
        each.name: {
            name if name in known else name.rpartition(".")[0]
            for name in at_the_top(each.tree)
            if belongs_to(name, ["mdmprofile"])
        }
        - {"mdmprofile"}
        for each in MODULES
    }
    loaded: list[str] = []
    while len(loaded) < len(needs):
        ready = [each for each in needs if each not in loaded and needs[each] <= {*loaded, each}]
        assert ready, f"in a circle: {sorted(set(needs) - set(loaded))}"
        loaded += ready


def test_reports_make_text_and_touch_nothing() -> None:
    """A report is a string; who prints it decides where it goes."""
    reports = [each for each in MODULES if each.path.startswith("reports/")]
    needed = {name for each in reports for name in imports(each.tree)}
    assert not [
        name for name in needed if belongs_to(name, ["mdmprofile.output", "mdmprofile.inputs", "os", "sys", "pathlib"])
    ]
