"""The ``mdmprofile`` command: which subcommands there are, and the one place where errors become exit codes."""

from __future__ import annotations

import contextlib
import importlib
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from mdmprofile import __version__

INTERRUPTED = 130
FAILED = 3

# Module and one-line help stand here, so that --help and --version load no command.
COMMANDS = {
    "batch": ("batch", "Build a profile, and issue an identity, for every device of a table."),
    "build": ("build", "Build the enrollment profile and the documents beside it."),
    "check": (
        "check",
        "Judge the dates of everything in profiles, certificate files, directories, configs, ledgers and servers.",
    ),
    "command": ("command", "Write the MDM command that installs a profile, or have an MDM server queue it."),
    "completion": ("completion", "Print the completion script of a shell."),
    "diff": ("diff", "Tell whether a device that has OLD takes NEW in its place, and what changes."),
    "decrypt": ("decrypt", "Decrypt a profile's payloads with the recipient's key."),
    "doctor": ("doctor", "Rehearse live what a device does with a profile, with this profile's trust alone."),
    "encrypt": ("encrypt", "Encrypt a profile's payloads for the devices that hold the recipients' keys."),
    "identity": ("identity", "Issue device identities from your own CA."),
    "init": ("init", "Write a commented enroll.toml to start from."),
    "lint": ("lint", "Judge any profile by Apple's rules: payloads, keys, certificates and signature."),
    "message": ("message", "Verify the Mdm-Signature header of a device's message, or make one."),
    "pins": ("pins", "Keep which certificate belongs to which device."),
    "plan": ("plan", "Plan the replacement: what ends when, the latest safe date, and the steps up to it."),
    "rules": ("rules", "List every rule: its id, severity, what it is about, and where it is written."),
    "show": ("show", "Show what is inside a profile, signed, encrypted or neither."),
    "sign": ("sign", "Sign a profile: its bytes stay exactly as they are, inside a CMS signature in DER."),
    "trust": ("trust", "Build only the trust profile and the service documents."),
    "unsign": ("unsign", "Take the profile out of its signature, byte for byte as it was signed."),
    "verify": ("verify", "Tell who signed a profile, whether it was changed since, and whether to trust the signer."),
}


class LazyGroup(click.Group):
    """Loads a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the base class's signature
        """The names of all commands, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"mdmprofile.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As Click does it, with the nearest command in the error."""
        name = args[0] if args else ""
        if name and name not in COMMANDS and not name.startswith("-"):
            from mdmprofile.tables import nearest  # noqa: PLC0415 - only for mistakes

            near = nearest(name, COMMANDS)
            ctx.fail(f"No such command {name!r}." + (f" Did you mean {near!r}?" if near else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The table of commands from their one-line helps."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", prog_name="mdmprofile")
def group() -> None:
    """Build Apple MDM enrollment profiles that work, and hear about it before they stop working.

    \b
    Example:
      mdmprofile init --demo demo && cd demo
      mdmprofile build
      mdmprofile check out/enroll.mobileconfig --replace-on 2027-06-01

    Exit codes: 0 nothing found, 1 a warning, 2 an error, 3 the job could not be done, 130 interrupted.
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; every error becomes one line on standard error."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    try:
        code = _attempt(words)
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except OSError:
        # Nobody reads what we have to say, not even that.
        return _reader_gone()
    return code


def _attempt(words: list[str]) -> int:
    from mdmprofile.errors import MdmprofileError, OutputError  # noqa: PLC0415 - not needed for --version

    try:
        result: Any = group.main(words, prog_name="mdmprofile", standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        click.echo("mdmprofile: interrupted", err=True)
        return INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return FAILED
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f"see {context.command_path} --help" if context is not None else ""
        return _report(MdmprofileError(error.format_message(), hint=hint), words)
    except SystemExit as end:
        # Shell completion ends so with 0, and Click with 1 when the reader of a pipe has left.
        return _reader_gone() if end.code else 0
    except MdmprofileError as error:
        return _report(error, words)
    except OSError as error:
        return _report(
            OutputError(
                f"cannot be written: {error.strerror}",
                where="standard output",
                hint="check its permissions and the space left, or write elsewhere",
            ),
            words,
        )
    except Exception as error:  # noqa: BLE001 - the last line of defence against a traceback
        message = f"internal error ({type(error).__name__}); please report what you ran"
        return _report(MdmprofileError(message), words)
    return result if isinstance(result, int) else 0


def main() -> NoReturn:
    """The console script."""
    code = run()
    if code == INTERRUPTED:
        import signal  # noqa: PLC0415 - seldom needed

        # Whoever presses the keys again wants the end that is already coming, not a traceback of Python's from it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


def _report(error: Any, words: list[str]) -> int:  # noqa: ANN401 - an MdmprofileError, imported late
    """Say what went wrong, and give a program that asked for its format a line to read; returns the exit code."""
    from mdmprofile.cli.complaints import complain, complain_in_format  # noqa: PLC0415 - only when something failed
    from mdmprofile.errors import OutputError, flatten  # noqa: PLC0415

    for each in flatten([error]):
        complain(str(each))
    # When standard output is what failed, there is nowhere to put it.
    with contextlib.suppress(OutputError):
        complain_in_format(error, words)
    return int(error.exit_code)


def _reader_gone() -> int:
    """Whoever read our output has left; Python must not complain about it again when it exits."""
    import os  # noqa: PLC0415 - only then

    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                os.dup2(nowhere, stream.fileno())
    return FAILED
