"""``mdmprofile completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from mdmprofile.output import write_stdout


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> int:
    r"""Print the completion script of a shell.

    \b
    Example:
      mdmprofile completion zsh > ~/.zfunc/_mdmprofile
      eval "$(mdmprofile completion bash)"
    """
    kind = get_completion_class(shell)
    root = ctx.find_root().command
    if kind is None:
        raise click.UsageError(f"{shell} is not supported by this version of Click")
    script = kind(root, {}, "mdmprofile", "_MDMPROFILE_COMPLETE")
    # source() of bash runs bash to learn its version; the script itself is the same for every version.
    text = script.source_template % script.source_vars()
    write_stdout((text.strip() + "\n").encode("utf-8"))
    return 0
