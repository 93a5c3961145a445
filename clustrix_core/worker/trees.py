"""Source as this interpreter compiles it: without what only checkers read, and pieces at the lines that they have."""

import __future__

import ast
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any, Dict, List, Sequence

# What these decorate does not have its annotations read.
_BLIND = frozenset(
    "property setter getter deleter staticmethod classmethod abstractmethod cluster lru_cache cache cached_property"
    " contextmanager wraps final override".split()
)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_ANNOTATIONS = getattr(__future__, "annotations", None)
_FACTORY = """\
def __clustrix_make():
    if 0:
        %(unset)s
    def __clustrix_fill(__clustrix_values):
        nonlocal %(names)s
        %(fill)s
    return %(name)s, __clustrix_fill
"""


def code_of(piece: "Dict[str, Any]", file: str, postponed: bool) -> "CodeType":
    """Compile statements of a module. ``postponed``: its annotations are not evaluated. Raises SyntaxError."""
    tree = Lean(postponed).visit(parsed(piece["text"], file, piece["line"]))
    return _compiled(tree, file, postponed)


def factory_of(piece: "Dict[str, Any]", file: str, postponed: bool) -> "CodeType":
    """Compile a function on its own; run, it defines what makes the function. Raises SyntaxError."""
    node = bare(parsed(piece["text"], file, piece["line"]))
    free = piece["free"]
    lines = {
        "unset": " = ".join(free + ["None"]) if free else "pass",
        "names": ", ".join(free),
        "fill": "\n        ".join(
            "if %r in __clustrix_values: %s = __clustrix_values[%r]" % (name, name, name) for name in free
        ),
        "name": "__clustrix_lambda" if isinstance(node, ast.Lambda) else getattr(node, "name", ""),
    }
    text = _FACTORY % lines if free else _FACTORY.replace("        nonlocal %(names)s\n", "") % dict(lines, fill="pass")
    tree = ast.parse(text, file)
    body: "List[Any]" = tree.body[0].body  # type: ignore[attr-defined]
    if isinstance(node, ast.Lambda):
        assign: "Any" = ast.parse("__clustrix_lambda = None").body[0]
        assign.value = node
        node = ast.copy_location(assign, node)
    body.insert(1, node)
    ast.fix_missing_locations(tree)
    return _compiled(tree, file, postponed)


def parsed(text: str, file: str, line: int) -> "Any":
    """Parse a piece of a file that begins at a line, maybe indented. Raises SyntaxError with the file's own line."""
    indented = text[:1] in (" ", "\t")
    try:
        tree = ast.parse("if 1:\n" + text if indented else text, file)
    except SyntaxError as error:
        error.lineno = (error.lineno or 1) + line - 1 - indented
        if getattr(error, "end_lineno", None):
            error.end_lineno = (error.end_lineno or 1) + line - 1 - indented
        error.args = (error.args[0], (file, error.lineno, error.offset, error.text))
        raise
    return ast.increment_lineno(tree, line - 1 - indented)


def bare(tree: "Any") -> "Any":
    """Return the one function of a tree without decorators, annotations and the values of its defaults."""
    node = tree.body[0]
    if isinstance(node, ast.If):
        node = node.body[0]
    if isinstance(node, ast.Expr):
        node = node.value
    if not isinstance(node, _FUNCTIONS + (ast.Lambda,)):
        raise SyntaxError("no function where one should be")
    if not isinstance(node, ast.Lambda):
        node.decorator_list = []
    nothing = [ast.copy_location(ast.parse("None", mode="eval").body, default) for default in node.args.defaults]
    node.args.defaults = nothing
    node.args.kw_defaults = [
        default and ast.copy_location(ast.parse("None", mode="eval").body, default) for default in node.args.kw_defaults
    ]
    return Lean(False).visit(node)


class Lean(ast.NodeTransformer):
    """Leaves out annotations that nothing reads when the program runs: they name what need not be there."""

    def __init__(self, postponed: bool) -> None:
        self._textual = postponed and _ANNOTATIONS is None  # Python 3.6 evaluates all that is left

    def visit_Module(self, node: "Any") -> "Any":
        """Go through the statements of a module; its own annotations are left out."""
        node.body = self._plain(node.body)
        self.generic_visit(node)
        if not node.body:
            node.body = ast.parse("pass").body
        return node

    def visit_ImportFrom(self, node: "Any") -> "Any":
        """Leave out a future that this interpreter has not heard of and that no longer matters."""
        if node.module == "__future__" and _ANNOTATIONS is None:
            node.names = [alias for alias in node.names if alias.name != "annotations"]
            return node if node.names else None
        return node

    def visit_FunctionDef(self, node: "Any") -> "Any":
        """Drop the annotations of a function that no decorator can read."""
        if all(_name(decorator) in _BLIND for decorator in node.decorator_list):
            node.returns = None
            for argument in _arguments(node.args):
                argument.annotation = None
        self.generic_visit(node)
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: "Any") -> "Any":
        """Drop annotations of attributes unless a decorator or a base may read them."""
        if not node.decorator_list and not node.bases and not node.keywords:
            node.body = self._plain(node.body) or ast.parse("pass").body
        elif self._textual:
            for inner in node.body:
                if isinstance(inner, ast.AnnAssign):
                    text: "Any" = ast.Str(s=_text(inner.annotation))
                    inner.annotation = ast.copy_location(text, inner.annotation)
        self.generic_visit(node)
        return ast.fix_missing_locations(node)

    def _plain(self, body: "Sequence[Any]") -> "List[Any]":
        lean: "List[Any]" = []
        for node in body:
            if not isinstance(node, ast.AnnAssign):
                lean.append(node)
            elif node.value is not None:
                lean.append(ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node))
        return lean


def _arguments(args: "Any") -> "List[Any]":
    found: "List[Any]" = list(getattr(args, "posonlyargs", ())) + args.args + args.kwonlyargs
    return found + [one for one in (args.vararg, args.kwarg) if one is not None]


def _name(node: "Any") -> str:
    if isinstance(node, ast.Call):
        node = node.func
    return str(getattr(node, "attr", getattr(node, "id", "")))


def _text(node: "Any") -> str:
    if isinstance(node, ast.Subscript):
        return _text(node.value) + "[...]"
    if isinstance(node, ast.Attribute):
        return "%s.%s" % (_text(node.value), node.attr)
    return str(getattr(node, "id", "..."))


def _compiled(tree: "Any", file: str, postponed: bool) -> "CodeType":
    flags = _ANNOTATIONS.compiler_flag if postponed and _ANNOTATIONS is not None else 0
    if sys.version_info >= (3, 8) and not hasattr(tree, "type_ignores"):
        tree.type_ignores = []
    ast.fix_missing_locations(tree)
    code: "CodeType" = compile(tree, file, "exec", flags, True)
    return code
