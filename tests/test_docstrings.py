"""Public functions say what goes in, what comes out and what is refused."""

import ast
import inspect
import re
import textwrap
from importlib import import_module
from types import FunctionType, ModuleType

import pytest
from api_surface import public_names


def documented() -> dict[str, ast.FunctionDef | ast.ClassDef]:
    """Public functions, classes and methods of all parts but the command line."""
    found: dict[str, ast.FunctionDef | ast.ClassDef] = {}
    for part, names in public_names().items():
        if part == "diff4splat.cli":  # its classes are read by tyro, which takes another form
            continue
        members = {name: getattr(import_module(part), name) for name in names}
        for name, module in [item for item in members.items() if isinstance(item[1], ModuleType)]:
            members |= {f"{name}.{inner}": getattr(module, inner) for inner in module.__all__}
        for name, member in members.items():
            if inspect.isclass(member) or inspect.isfunction(member):
                node = ast.parse(textwrap.dedent(inspect.getsource(member))).body[0]
                found[f"{part}.{name}"] = node
                inherited = documented_by_bases(member)
                methods = [method for method in public_methods(node) if method.name not in inherited]
                found |= {f"{part}.{name}.{method.name}": method for method in methods}
    return found


def documented_by_bases(member: type | FunctionType) -> set[str]:
    """Methods whose sections a base class of this package has; ruff wants a docstring of their own."""
    bases = member.__mro__[1:] if inspect.isclass(member) else ()
    ours = [base for base in bases if base.__module__.startswith("diff4splat.")]
    return {name for base in ours for name, value in vars(base).items() if getattr(value, "__doc__", None)}


def public_methods(node: ast.stmt) -> list[ast.FunctionDef]:
    methods = [child for child in getattr(node, "body", []) if isinstance(child, ast.FunctionDef)]
    is_class = isinstance(node, ast.ClassDef)
    return [m for m in methods if is_class and (not m.name.startswith("_") or m.name == "__call__")]


def lacking(node: ast.FunctionDef | ast.ClassDef) -> list[str]:
    """Sections that the docstring should have and does not."""
    text = (ast.get_docstring(node) or "").replace("Yields:", "Returns:")
    if isinstance(node, ast.ClassDef):
        built = [child for child in node.body if getattr(child, "name", "") in ("__init__", "__post_init__")]
        fields = any(isinstance(child, ast.AnnAssign) for child in node.body)
        wanted = {"Args": fields and is_dataclass(node), "Raises": any(map(raises, built))}
    else:
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        returned = "None" if node.returns is None else ast.unparse(node.returns)
        is_property = any(ast.unparse(item) == "property" for item in node.decorator_list)
        wanted = {
            "Args": any(argument.arg not in ("self", "cls") for argument in arguments),
            "Returns": returned != "None" and not is_property,
            "Raises": raises(node),
        }
    return [section for section, needed in wanted.items() if needed and f"{section}:" not in text]


def is_dataclass(node: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(item) for item in node.decorator_list)


def raises(node: ast.stmt) -> bool:
    return any(isinstance(child, ast.Raise) for child in ast.walk(node))


DOCUMENTED = documented()


@pytest.mark.parametrize("name", DOCUMENTED)
def test_docstring_has_its_sections(name: str) -> None:
    assert ast.get_docstring(DOCUMENTED[name]) and lacking(DOCUMENTED[name]) == []


def type_in_returns(node: ast.FunctionDef | ast.ClassDef) -> str:
    """What the reference page takes for the type of the result: words before a colon in the first line."""
    first = re.search(r"^Returns:\n +(.*)$", ast.get_docstring(node) or "", flags=re.MULTILINE)
    return first[1].rpartition(":")[0] if first else ""


def shapes_read_as_arithmetic(node: ast.FunctionDef | ast.ClassDef) -> list[str]:
    """Shapes such as "batch *event", which the reference page shows as a product; a leading space helps."""
    strings = [child.value for child in ast.walk(node) if isinstance(child, ast.Constant)]
    words = r"[a-z_]+( \*[a-z_]+)+"
    return [text for text in strings if isinstance(text, str) and re.fullmatch(words, text)]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_reference_page_shows_what_is_meant(name: str) -> None:
    assert type_in_returns(DOCUMENTED[name]) == ""
    assert shapes_read_as_arithmetic(DOCUMENTED[name]) == []


def test_what_the_page_would_garble_is_found() -> None:
    head = 'def f(x: Float[Tensor, "batch *event"]) -> int:\n'
    source = head + '    """Sum.\n\n    Returns:\n        Sum: of all."""'
    (node,) = ast.parse(source).body
    assert isinstance(node, ast.FunctionDef)
    assert type_in_returns(node) == "Sum" and shapes_read_as_arithmetic(node) == ["batch *event"]


def test_the_check_can_fail() -> None:
    source = (
        'def f(x: int) -> int:\n    """Double."""\n    if x < 0:\n        raise ValueError\n    return 2 * x'
    )
    assert lacking(ast.parse(source).body[0]) == ["Args", "Returns", "Raises"]
