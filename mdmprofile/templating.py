"""Variables in configuration values: Jinja2, sandboxed, and strict about names it does not know.

Templates fill values after the TOML was parsed, so no variable can break out of its field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mdmprofile.errors import TemplateError

Variables = Mapping[str, Any]
Render = Callable[[str], str]
_MARKS = ("{{", "{%", "{#")
MAX_LENGTH = 64 * 1024


def renderer(variables: Variables, *, lenient: bool = False) -> Render:
    """A function that fills the templates in a string.

    With ``lenient`` a string whose variables are not known stays as it is, for judging a config whose values
    come from a device table later. Raises ``TemplateError`` when the string cannot be filled.
    """

    def render(text: str) -> str:
        # Jinja2 is slow to import and most configs have no template.
        return _render(text, variables, lenient) if any(mark in text for mark in _MARKS) else text

    return render


def _render(text: str, variables: Variables, lenient: bool) -> str:
    import jinja2  # noqa: PLC0415 - only where a template is
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415

    class Environment(ImmutableSandboxedEnvironment):
        """Multiplication and powers make values of any size out of a few characters."""

        intercepted_binops = frozenset({"*", "**"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401, ARG002 - the base class's signature
            raise jinja2.TemplateRuntimeError(f"the operator {operator} is not allowed here")

    # Values go into a property list, which escapes them itself; HTML escapes would end up in the profile.
    environment = Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    try:
        filled = environment.from_string(text).render(variables)
    except jinja2.UndefinedError as error:
        if lenient:
            return text
        raise TemplateError(f"a variable is not known: {error.message}", hint="give it with --var NAME=VALUE") from None
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"the template is malformed: {error.message}") from None
    except Exception as error:  # noqa: BLE001 - a template can raise anything Python can
        raise TemplateError(f"the template fails: {type(error).__name__}") from None
    if len(filled) > MAX_LENGTH:
        raise TemplateError(f"the filled template is longer than {MAX_LENGTH // 1024} KiB")
    return filled
