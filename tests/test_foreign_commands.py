"""Commands of other distributions: listed without being imported, and harmless to all others."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.shell_completion import BashComplete
from conftest import Done, install

from bench import entry_points
from bench.cli import COMMANDS
from bench.cli import cli as group

Cli = Callable[..., Done]
HELLO = """
import click

print("the module prints")

@click.command()
@click.option("--name", default="you")
def hello(name):
    "Say hello."
    click.echo(f"hello {name}")

@click.command()
@click.argument("value", type=int)
def answer(value):
    return value or True

@click.group()
def several():
    "Several commands."

several.add_command(hello)

@click.command()
def wrong():
    raise click.UsageError("not so")

def function():
    "No click command."
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder on the path, with the module `acme_hello`."""
    before = {*sys.modules}
    (tmp_path / "acme_hello.py").write_text(HELLO)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in {*sys.modules} - before:
        if name.startswith("acme"):
            del sys.modules[name]


def offer(site: Path, distribution: str = "acme-tools", **commands: str) -> None:
    install(site, distribution, commands, group=entry_points.COMMANDS)


def listed(out: str) -> dict[str, str]:
    """Return the commands of plugins, with their help, as `bench --help` has them."""
    _, _, section = out.partition("Commands of plugins:\n")
    return dict(line.split(None, 1) for line in section.splitlines())


# Listing


def test_help_lists_them_with_their_distribution_and_imports_none(site: Path) -> None:
    offer(site, hello="acme_hello:hello", crash="acme_crash:command")
    (site / "acme_crash.py").write_text("import os\nos._exit(9)\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *sys.path])}
    words = [sys.executable, "-m", "bench", "--help"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert listed(done.stdout) == {"hello": "from acme-tools 1.0", "crash": "from acme-tools 1.0"}


def test_without_any_help_has_no_such_section(cli: Cli) -> None:
    assert "Commands of plugins" not in cli("--help").out


def test_what_cannot_be_called_is_not_listed_but_told_of(site: Path, cli: Cli) -> None:
    offer(site, run="acme_hello:hello", hello="acme_hello:hello")
    offer(site, "acme-odd", **{"two words": "acme_hello:hello", "\x1b[31mred": "acme_hello:hello"})
    assert listed(cli("--help").out) == {"hello": "from acme-tools 1.0"}
    done = cli("plugins")
    assert (
        "error: command `run` (acme-tools 1.0): `bench run` is a command of bench itself; "
        "its authors may rename theirs\n"
    ) in done.err
    assert "error: command `two words` (acme-odd 1.0): its name holds more than letters" in done.err
    assert "\x1b" not in done.out + done.err


def test_the_list_of_plugins_has_them(site: Path, cli: Cli) -> None:
    offer(site, hello="acme_hello:hello", run="acme_hello:hello")
    commands = json.loads(cli("plugins", "--json").out)["commands"]
    assert {command["name"]: command["target"] for command in commands} == {
        "hello": "acme_hello:hello",
        "run": "acme_hello:hello",
    }
    assert [command["error"] is None for command in commands] == [True, False]
    assert "acme_hello" not in sys.modules
    assert "command `bench hello`" in cli("plugins").out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("bench he", {"hello"}),
        ("bench twi", {"twice@acme-more", "twice@acme-tools"}),
        ("bench hello --na", {"--name"}),
        ("bench several h", {"hello"}),
    ],
)
def test_shells_complete_them(
    site: Path, monkeypatch: pytest.MonkeyPatch, words: str, expected: set[str]
) -> None:
    offer(site, **dict.fromkeys(("hello", "twice"), "acme_hello:hello"))
    offer(site, "acme-more", twice="acme_hello:hello", several="acme_hello:several")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    answers = BashComplete(group, {}, "bench", "_BENCH_COMPLETE").complete().splitlines()
    assert {answer.partition(",")[2] for answer in answers} == expected


@pytest.mark.parametrize("words", ["bench broken ", "bench nothing ", "bench twice "])
def test_completion_stumbles_over_none(
    site: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], words: str
) -> None:
    offer(site, broken="acme_nowhere:command", twice="acme_hello:hello")
    offer(site, "acme-more", twice="acme_hello:hello")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", "2")
    BashComplete(group, {}, "bench", "_BENCH_COMPLETE").complete()
    assert capfd.readouterr() == ("", "")


# Calling


def test_one_is_called_with_its_options_and_help(site: Path, cli: Cli) -> None:
    offer(site, hello="acme_hello:hello", several="acme_hello:several")
    done = cli("hello", "--name", "there")
    assert (done.code, done.out) == (0, "hello there\n")
    assert done.err == "the module prints\n"
    assert "Usage: bench hello [OPTIONS]\n\n  Say hello." in cli("hello", "--help").out
    assert cli("several", "hello").out == "hello you\n"


def test_its_errors_are_one_line_like_ours(site: Path, cli: Cli) -> None:
    offer(site, hello="acme_hello:hello", wrong="acme_hello:wrong")
    done = cli("wrong")
    assert (done.code, done.err) == (2, "the module prints\nerror: not so\n")
    done = cli("hello", "--nam", "x")
    assert done.code == 2
    assert done.err.startswith("error: No such option")


@pytest.mark.parametrize(("value", "code"), [("4", 4), ("0", 0)])
def test_a_number_that_it_returns_is_the_exit_code(
    site: Path, cli: Cli, value: str, code: int
) -> None:
    offer(site, answer="acme_hello:answer")
    assert cli("answer", value).code == code


@pytest.mark.parametrize(
    ("target", "source", "message"),
    [
        ("acme_broken:command", "raise SystemExit('no\\nlicence')", "SystemExit: no licence"),
        ("acme_broken:command", "import nothing_there", "ModuleNotFoundError: No module named"),
        ("acme_broken:command", "def", "SyntaxError: "),
        ("acme_broken:command", "class Odd(BaseException): pass\nraise Odd('so')", "Odd: so"),
        ("acme_broken:command", "", "AttributeError: module 'acme_broken' has no attribute"),
        ("acme_nowhere", "", "ModuleNotFoundError: No module named 'acme_nowhere'"),
        ("", "", "ValueError: Empty module name"),
    ],
)
def test_one_that_cannot_be_imported_names_its_distribution(
    site: Path, cli: Cli, target: str, source: str, message: str
) -> None:
    (site / "acme_broken.py").write_text(source)
    offer(site, broken=target, hello="acme_hello:hello")
    done = cli("broken")
    assert (done.code, done.out) == (3, "")
    [line] = done.err.splitlines()
    assert line.startswith(f"error: command `broken` (acme-tools 1.0) cannot be loaded: {message}")
    assert line.endswith("; update or uninstall `acme-tools`")
    assert cli("hello").code == 0


@pytest.mark.parametrize(
    ("target", "kind"), [("acme_hello:function", "function"), ("acme_hello", "module")]
)
def test_what_is_no_click_command_is_said_to_be_none(
    site: Path, cli: Cli, target: str, kind: str
) -> None:
    offer(site, function=target)
    done = cli("function")
    assert done.code == 3
    assert done.err.splitlines()[-1] == (
        f"error: command `function` (acme-tools 1.0) cannot be called: `{target}` is no click "
        f"command but `{kind}`; update or uninstall `acme-tools`"
    )


def test_two_of_one_name_are_told_apart_by_their_distributions(site: Path, cli: Cli) -> None:
    offer(site, twice="acme_hello:hello")
    offer(site, "acme-more", twice="acme_nowhere:command")
    assert [*listed(cli("--help").out)] == ["twice@acme-more", "twice@acme-tools"]
    done = cli("twice")
    assert done.code == 2
    assert done.err == (
        "error: command `twice` is offered by acme-more 1.0 and acme-tools 1.0; choose one, "
        "for example `bench twice@acme-more`\n"
    )
    assert cli("twice@acme-tools").out == "hello you\n"
    assert cli("twice@acme-more").code == 3


@pytest.mark.parametrize("verb", ["list", "plugins", "completion"])
def test_a_name_of_ours_stays_ours(site: Path, cli: Cli, verb: str) -> None:
    assert verb in COMMANDS
    offer(site, **{verb: "acme_hello:hello"})
    assert "Say hello" not in cli(verb, "--help").out
    assert verb not in listed(cli("--help").out)


def test_a_misspelt_one_is_suggested(site: Path, cli: Cli) -> None:
    offer(site, hello="acme_hello:hello")
    done = cli("helo")
    assert done.code == 2
    assert done.err == (
        "error: there is no command `helo` (did you mean `hello`?); see `bench --help`\n"
    )


# Metadata


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("entry_points.txt", b"[bench.commands]\nno line of this kind\n"),
        ("entry_points.txt", b"[bench.commands]\nhello = \xff\xfe:command\n"),
        ("METADATA", b"\xff\xfe\x00\n"),
    ],
)
def test_metadata_that_cannot_be_read_harms_no_other(
    site: Path, cli: Cli, file: str, content: bytes
) -> None:
    offer(site, hello="acme_hello:hello")
    offer(site, "acme-torn", torn="acme_hello:hello")
    (site / "acme_torn-1.0.dist-info" / file).write_bytes(content)
    assert cli("--help").code == 0
    assert cli("hello").out == "hello you\n"
    torn = [p for p in entry_points.find(entry_points.COMMANDS) if "torn" in p.distribution]
    assert len(torn) == 1
    if torn[0].error:
        assert torn[0].error.endswith(f"; install `{torn[0].distribution}` again")
        assert torn[0].error in cli("plugins").err


def test_metadata_without_a_name_goes_by_its_folder(site: Path, cli: Cli) -> None:
    offer(site, hello="acme_hello:hello")
    (site / "acme_tools-1.0.dist-info" / "METADATA").unlink()
    assert listed(cli("--help").out) == {"hello": "from acme_tools 1.0"}
    assert cli("hello").out == "hello you\n"


@pytest.mark.skipif(not find_spec("importlib_metadata"), reason="needs importlib_metadata")
def test_metadata_without_a_name_does_so_whoever_reads_it(site: Path) -> None:
    offer(site, hello="acme_hello:hello")
    (site / "acme_tools-1.0.dist-info" / "METADATA").unlink()
    # Once imported it stands before Python's own reader, and has another answer to a lost file.
    code = "import importlib_metadata; from bench.cli import main; main(['--help'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert listed(done.stdout) == {"hello": "from acme_tools 1.0"}


def test_of_two_installations_the_first_on_the_path_counts(
    site: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = tmp_path_factory.mktemp("before")
    install(before, "acme-tools", {}, version="2.0", group="console_scripts")
    offer(site, hello="acme_hello:hello")
    assert [p.version for p in entry_points.find(entry_points.COMMANDS)] == ["1.0"]
    monkeypatch.syspath_prepend(before)
    assert entry_points.find(entry_points.COMMANDS) == []


def test_entry_points_may_stand_in_brackets_and_name_what_is_deep(site: Path) -> None:
    (site / "acme_deep.py").write_text("class Outer:\n    class Inner:\n        value = 3\n")
    offer(site, deep="acme_deep:Outer.Inner.value [extra]")
    [point] = entry_points.find(entry_points.COMMANDS)
    assert point.load() == 3


def test_the_command_of_the_page_works_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    page = (Path(__file__).parent.parent / "docs/plugins/commands.md").read_text("utf-8")
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    [packaging] = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    project = tomllib.loads(packaging)["project"]
    [(name, target)] = project["entry-points"][entry_points.COMMANDS].items()
    module = target.partition(":")[0]
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"{module}.py").write_text(code)
    offer(tmp_path, project["name"], **{name: target})
    monkeypatch.chdir(tmp_path)
    assert listed(cli("--help").out) == {"hello": "from bench-hello 1.0"}
    assert cli("hello", "you").out == "Hello you! 0 runs are stored in `results`.\n"
    sys.modules.pop(module)
