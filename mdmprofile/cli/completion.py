"""``mdmprofile completion``."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from mdmprofile.output import write_stdout

_SHELLS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@click.command("completion")
@click.argument("shell", type=click.Choice(list(_SHELLS)))
@click.pass_context
def command(ctx: click.Context, shell: str) -> int:
    """Print the completion script of a shell.

    \b
    Example:
      mdmprofile completion zsh > ~/.zfunc/_mdmprofile
      eval "$(mdmprofile completion bash)"
    """
    script = _SHELLS[shell](ctx.find_root().command, {}, "mdmprofile", "_MDMPROFILE_COMPLETE")
    # Click's own source() runs bash first to learn its version; the script is the same for every version.
    text = script.source_template % script.source_vars()
    write_stdout((text.strip() + "\n").encode("utf-8"))
    return 0
