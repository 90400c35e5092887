"""Variables in configuration values: Jinja2, sandboxed, and strict about names it does not know.

Templates fill values after the TOML was parsed, so no variable can break out of its field.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from mdmprofile.errors import TemplateError, UnfilledError

if TYPE_CHECKING:
    from jinja2 import Environment, Template, nodes

Variables = Mapping[str, Any]
Render = Callable[[str], str]
Compiled = Callable[[Variables], str]
_MARKS = ("{{", "{%", "{#")
# Filters that cannot make much out of little.
_FILTERS = frozenset(
    (
        "capitalize", "d", "default", "first", "last", "length", "lower", "replace", "string", "title", "trim",
        "upper", "urlencode",
    )
)  # fmt: skip
MAX_LENGTH = 64 * 1024
# A table's value alone, such as {{ device.serial }}.
_VALUE = re.compile(r"\{\{ ?([A-Za-z_]\w*)\.([A-Za-z_]\w*) ?\}\}", re.ASCII)


def renderer(variables: Variables) -> Render:
    """A function that fills the templates in a string.

    It raises ``UnfilledError`` when a variable is not known, and ``TemplateError`` for a template that is wrong.
    """
    return lambda text: compiled(text)(variables)


def has_template(text: str) -> bool:
    """Whether there is anything to fill in a text."""
    return any(mark in text for mark in _MARKS)


def compiled(text: str) -> Compiled:
    """A function that fills this text with the variables it is given, again and again, from any thread.

    Raises ``TemplateError`` for a template that is wrong; the function raises what ``renderer``'s does.
    """
    # Jinja2 is slow to import and most configs have no template.
    if not has_template(text):
        return lambda _variables: text
    return _without_logic(text) or _with_jinja(text)


def _with_jinja(text: str) -> Compiled:
    template = _template(text)

    def fill(variables: Variables) -> str:
        with _explaining():
            filled = template.render(variables)
        if len(filled) > MAX_LENGTH:
            raise TemplateError(f"the filled template is longer than {MAX_LENGTH // 1024} KiB")
        return filled

    return fill


def _without_logic(text: str) -> Compiled | None:
    """The same for a text in which tables' values are named and nothing else; None for any other.

    Most are such, and Jinja2 takes ten times as long. What is missing, or no text, is left to it.
    """
    parts = _VALUE.split(text)
    # Jinja2 makes every line end an LF, and leaves out the last.
    if has_template("".join(parts[::3])) or "\r" in text or text.endswith("\n"):
        return None
    names = list(zip(parts[1::3], parts[2::3], strict=True))

    def fill(variables: Variables) -> str:
        filled = [parts[0]]
        for (table, name), behind in zip(names, parts[3::3], strict=True):
            owner = variables.get(table)
            value = owner.get(name) if isinstance(owner, dict) else None
            if type(value) is not str:
                return slow(variables)
            filled += value, behind
        result = "".join(filled)
        return slow(variables) if len(result) > MAX_LENGTH else result

    slow = _with_jinja(text)
    return fill


def names_in(text: str) -> frozenset[str]:
    """The variables a text's templates speak of, such as ``site`` and, of a table's, ``device.serial``.

    Raises ``TemplateError`` for a template that is wrong.
    """
    if not has_template(text):
        return frozenset()
    from jinja2 import meta, nodes  # noqa: PLC0415 - only where a template is

    tree = _tree(text)
    with _explaining():
        names = set(meta.find_undeclared_variables(tree))
        members = [(each.node, each.attr) for each in tree.find_all(nodes.Getattr)]
        # device["serial"] is the same as device.serial.
        members += [
            (each.node, each.arg.value) for each in tree.find_all(nodes.Getitem) if isinstance(each.arg, nodes.Const)
        ]
    return frozenset(names) | {
        f"{owner.name}.{member}"
        for owner, member in members
        if isinstance(owner, nodes.Name) and owner.name in names and isinstance(member, str)
    }


def _template(text: str) -> Template:
    tree = _tree(text)
    with _explaining():
        return _environment().from_string(tree)


def _tree(text: str) -> nodes.Template:
    """The template's syntax tree, unless it could run long or become large."""
    from jinja2 import nodes  # noqa: PLC0415 - only where a template is

    if len(text) > MAX_LENGTH:
        raise TemplateError(f"the template is longer than {MAX_LENGTH // 1024} KiB", hint="shorten it")
    with _explaining():
        tree = _environment().parse(text)
        loops = any(tree.find(kind) is not None for kind in (nodes.For, nodes.Macro, nodes.CallBlock, nodes.Include))
    if loops:
        raise TemplateError("the template is refused: loops and macros have no place in a value", hint="remove it")
    return tree


@cache
def _environment() -> Environment:
    import jinja2  # noqa: PLC0415 - only where a template is
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415

    class Environment(ImmutableSandboxedEnvironment):
        """Multiplication, powers and formats make values of any size out of a few characters."""

        # Without this, a variable called items or copy would be the method of the dictionary it is in.
        def getattr(self, obj: Any, attribute: str) -> Any:  # noqa: ANN401
            if not isinstance(obj, Mapping):
                return super().getattr(obj, attribute)
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)

        intercepted_binops = frozenset({"*", "**", "%"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401, ARG002 - the base class's signature
            raise jinja2.TemplateRuntimeError(f"the operator {operator} is not allowed here")

    # Values go into a property list, which escapes them itself; HTML escapes would end up in the profile.
    environment = Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    environment.filters = {name: environment.filters[name] for name in _FILTERS}
    environment.globals.clear()
    return environment


@contextlib.contextmanager
def _explaining() -> Iterator[None]:
    """Have what Jinja2 and Python raise come out as an error of ours."""
    import jinja2  # noqa: PLC0415 - only where a template is

    try:
        yield
    except jinja2.UndefinedError as error:
        hint = "give it with --var NAME=VALUE"
        if str(error.message).startswith("'device'"):
            hint = "give it with --var device.NAME=VALUE; for many devices there is mdmprofile batch"
        raise UnfilledError(f"a variable is not known: {error.message}", hint=hint) from None
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"the template is malformed: {error.message}", hint="correct it") from None
    except jinja2.TemplateRuntimeError as error:
        raise TemplateError(f"the template is refused: {error.message}", hint="remove it") from None
    except Exception as error:  # noqa: BLE001 - a template can raise anything Python can
        raise TemplateError(f"the template fails: {type(error).__name__}", hint="correct it") from None
