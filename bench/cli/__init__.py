"""The command line: one file per verb, imported only when it is called for."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from bench.cli.lazy import LazyGroup
from bench.errors import BenchError

# name -> (module, one-line help): help and completion need neither.
COMMANDS = {
    "run": ("bench.cli.run", "Train every cell of an experiment and rank the results."),
    "data": (
        "bench.cli.data",
        "Look at a dataset: its facts, its pictures, what is wrong with it.",
    ),
    "list": ("bench.cli.list", "List components of a kind, runs, or studies."),
    "leaderboard": ("bench.cli.leaderboard", "Rank what is stored in a results folder."),
    "report": ("bench.cli.report", "Write one file that answers the question, with its evidence."),
    "ensemble": ("bench.cli.ensemble", "Combine finished runs, or runs trained for it, into one."),
    "compare": ("bench.cli.compare", "Say what is better or worse than before; a gate for CI."),
    "merge": ("bench.cli.merge", "Bring the runs of several results folders into one."),
    "verify": ("bench.cli.verify", "Check that published baselines are reached here."),
    "show": (
        "bench.cli.show",
        "Show one run: settings, metrics, curves, environment; or one study.",
    ),
    "threshold": (
        "bench.cli.threshold",
        "Choose on val from which probability a class is said; report on test.",
    ),
    "why": ("bench.cli.why", "Say why a run would or would not be reused."),
    "clean": ("bench.cli.clean", "Remove stored datasets that can be made again."),
    "plugins": (
        "bench.cli.plugins",
        "List plugins, look into them, check them, or begin a new one.",
    ),
    "doctor": ("bench.cli.doctor", "Check python, torch, GPU, plugins, data and disk."),
    "predict": ("bench.cli.predict", "Say what a run's network sees in images of yours."),
    "export": ("bench.cli.export", "Write a run's network as safetensors or ONNX."),
    "completion": ("bench.cli.completion", "Print the completion script for a shell."),
}


DECIDING = ("compare", "ensemble", "predict", "verify")
"""Commands whose exit code says how it went."""


class Verbs(LazyGroup):
    """The top group: the verbs of `bench`, and the commands that plugins add."""

    table = COMMANDS

    def lines(self) -> dict[str, str]:
        """Return all commands with their help: our own first."""
        return {**super().lines(), **_of_plugins()}

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import and return a command, ours or a plugin's."""
        if name in COMMANDS:
            return super().get_command(ctx, name)
        from bench.cli import foreign

        try:
            found = foreign.find(name, foreign.commands(COMMANDS))
            return foreign.load(found) if found else None
        except BenchError:
            if ctx.resilient_parsing:  # a shell completes a line, and wants no messages
                return None
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            # `list` may be the submodule of that name here.
            formatter.write_dl([*super().lines().items()])
        others = _of_plugins()
        if others:
            with formatter.section("Commands of plugins"):
                formatter.write_dl([*others.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Call the command; that a reader such as `head` has seen enough is no failure.

        Unless the exit code is what the command is for: a verdict that was cut off is none.
        """
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except BrokenPipeError:
            if ctx.invoked_subcommand == "run":
                raise  # its runs may not be finished
        except SystemExit as error:  # rich makes this of it
            if ctx.invoked_subcommand == "run" or not isinstance(
                error.__context__, BrokenPipeError
            ):
                raise
        _drop_stdout()
        return 3 if ctx.invoked_subcommand in DECIDING else 0


def _of_plugins() -> dict[str, str]:
    """Return the commands of plugins with their help; our own need not be looked for there."""
    from bench.cli import foreign

    return {each.name: each.help for each in foreign.commands(COMMANDS) if not each.problem}


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"bench {version('bench-harness')}")
        ctx.exit()


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Benchmark image classifiers: train, measure and rank them, honestly.

    Try `bench run --models resnet50,mobilenet`.
    """
    ctx.obj = {"debug": debug}


def main(arguments: list[str] | None = None) -> Any:
    """Run a command line and exit with its code; expected errors are one line on stderr."""
    if sys.stdout is None:  # so Python has it where it was closed (`>&-`)
        click.echo("error: stdout is closed; send it to a file or to `/dev/null`", err=True)
        sys.exit(3)
    try:
        _run(arguments)
    except OSError:
        why = _why_stdout_fails()
        if why is None:
            raise
        _drop_stdout()
        click.echo(f"error: cannot write to stdout: {why}; send it elsewhere", err=True)
        sys.exit(3)


def _why_stdout_fails() -> str | None:
    """Return why stdout takes no more, or None where it does: then the error was another's."""
    try:
        # What could not be written may be in its buffer no more, as where it has none.
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _drop_stdout() -> None:
    """Send the rest of stdout nowhere: Python would complain at exit of what is in its buffer."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: list[str] | None) -> None:
    """Run a command line and exit with its code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # Also after the verb, where a user who has just seen an error will put it.
    debug = "--debug" in arguments
    arguments = [word for word in arguments if word != "--debug"]
    if debug:
        arguments = ["--debug", *arguments]
    try:
        code = cli.main(args=arguments, prog_name="bench", standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        from bench.text import one_line

        click.echo(f"error: {one_line(error.format_message())}", err=True)
        sys.exit(2)
    except BenchError as error:
        if debug:
            raise
        from bench.text import one_line

        click.echo(f"error: {one_line(str(error), 2000)}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    # A plugin's command may return anything; `True` says that it went well.
    sys.exit(code if isinstance(code, int) and not isinstance(code, bool) else 0)
