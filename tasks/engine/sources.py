"""Our own sources, read and never imported: which definitions a function reaches, and what of them computes anything.

Decides what of a definition can change a result: its syntax without docstrings, comments, annotations of functions and
variables, and without what a field of a recipe only describes or refuses. Annotations in a class's body stay: they make
a dataclass's fields. Imports inside functions count, those under TYPE_CHECKING do not. Refuses to guess: a module that
is used as a whole, by a name that is found only when it runs, or by its name as a text (`python -m`), counts with
everything in it.

    tree = SourceTree({"edgewright": Path("edgewright"), "tasks": Path("tasks")})
    reach = tree.reach("tasks.quantize", "quantize", leave_out=("edgewright.report",))
    reach.definitions["edgewright.compress.quantize:quantize"]           # its code, as text
    reach.libraries                                                      # {"numpy", "onnxruntime", …}
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tasks.engine.parsing import parsed

EVERYTHING = "**"
_SAYS = {"description", "title", "examples", "json_schema_extra"}
_REFUSES = {"ge", "gt", "le", "lt", "multiple_of", "pattern", "min_length"}
_ONLY_DESCRIBES = _SAYS | _REFUSES
"""Arguments of a recipe's `Field` that say what it means or refuse a value; a value that passed stands in the key."""
_Function = ast.FunctionDef | ast.AsyncFunctionDef
Target = tuple[str, str]
"""(module, its attribute); no attribute: the module itself."""


@dataclass
class Reach:
    """What a function reaches.

    Attributes:
        definitions: `module:name` => the code that can change a result, as text.
        libraries: top-level names of what is imported from elsewhere.
        texts: string constants: a library may be imported by its name, a module of ours run as a program.
    """

    definitions: dict[str, str] = field(default_factory=dict)
    libraries: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Code:
    """Some statements: their text and what they refer to.

    Attributes:
        names: (name, the attributes that are asked of it, as `rows.spread`, or nothing).
        imports: what is imported within.
    """

    text: str
    names: frozenset[tuple[str, str]]
    imports: tuple[Target, ...]
    texts: frozenset[str]


class ModuleSource:
    """One module, parsed.

    Attributes:
        name: dotted.
        sections: function => annotation of its argument `config`; class => its bases and those of its fields.
        statements: at the top level, as far as they can change a result.
        definitions: name => the statements that bind it.
        imports: name => what it may stand for; `import a.b` and `import a.c` both bind `a`.
    """

    def __init__(self, name: str, path: Path) -> None:
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        found = list(_top_level(parsed(path)))
        self.name = name
        self.sections = {one.name: _section(one) for one in found if isinstance(one, _Function | ast.ClassDef)}
        self.statements: list[ast.stmt] = [kept for one in found if (kept := _Essence(package).visit(one)) is not None]
        self.imports: dict[str, list[Target]] = {}
        self.definitions: dict[str, list[ast.stmt]] = {}
        for statement in self.statements:
            for alias, target in _imported(statement):
                self.imports.setdefault(alias, []).append(target)
            for bound in _bound(statement):
                self.definitions.setdefault(bound, []).append(statement)
        self._codes: dict[str, Code] = {}

    def code(self, name: str) -> Code:
        """Of a definition; `name()`: of a section, what is no field; no name: what an import does but bind names."""
        if name not in self._codes:
            self._codes[name] = _code(self._statements_of(name))
        return self._codes[name]

    def _statements_of(self, name: str) -> list[ast.stmt]:
        if not name:
            return [one for one in self.statements if not _only_binds(one)]
        found = self.definitions[name.removesuffix("()")]
        if not name.endswith("()"):
            return found
        classes = [one for one in found if isinstance(one, ast.ClassDef)]
        return [inner for one in classes for inner in one.body if not _is_field(inner)]


class SourceTree:
    """Packages by the folders that hold them.

    Args:
        roots: package => its folder.
    """

    def __init__(self, roots: Mapping[str, Path]) -> None:
        self._roots = dict(roots)
        self._sources: dict[str, ModuleSource | None] = {}

    def source(self, module: str) -> ModuleSource | None:
        """None where it is no module of these packages."""
        if module not in self._sources:
            path = self._path(module)
            self._sources[module] = ModuleSource(module, path) if path else None
        return self._sources[module]

    def binds(self, module: str, name: str) -> bool:
        """Whether a name stands for something in a module of these packages."""
        source = self.source(module)
        return source is not None and (name in source.definitions or name in source.imports)

    def is_ours(self, module: str) -> bool:
        return module.partition(".")[0] in self._roots

    def reach(self, module: str, name: str, *, leave_out: tuple[str, ...] = ()) -> Reach:
        """Everything that the definition `name` of `module` reaches, but nothing of the packages `leave_out`.

        The recipe's section in its signature comes without its fields: their values stand in a key by themselves.
        """
        walk = _Walk(self, leave_out)
        walk.section_of(module, name)
        walk.visit(module, name)
        walk.follow_all()
        return walk.found

    def _path(self, module: str) -> Path | None:
        package, _, rest = module.partition(".")
        if package not in self._roots:
            return None
        place = self._roots[package].joinpath(*rest.split(".")) if rest else self._roots[package]
        return next((p for p in (place / "__init__.py", place.with_suffix(".py")) if p.is_file()), None)


class _Walk:
    """One search; every definition is seen once."""

    def __init__(self, tree: SourceTree, leave_out: tuple[str, ...]) -> None:
        self._tree, self._leave_out = tree, leave_out
        self._visited: set[Target] = set()
        self._waiting: list[tuple[ModuleSource, Code]] = []
        self.found = Reach()

    def visit(self, module: str, name: str) -> None:
        """A definition, a name imported from elsewhere, or EVERYTHING of a module."""
        source = None if self._is_left_out(module) else self._tree.source(module)
        if source is None or (module, name) in self._visited:
            return
        self._visited.add((module, name))
        self._load(source)
        if self._tree.binds(module, name):
            self._use(source, name)
        else:  # EVERYTHING, or a name that the module makes when it runs
            for one in (*source.definitions, *source.imports):
                self._use(source, one)

    def follow_all(self) -> None:
        """What the code that was found refers to, until nothing new is found."""
        while self._waiting:
            source, code = self._waiting.pop()
            for target in code.imports:
                self._follow(target)
            for used, attributes in code.names:
                self._use(source, used, attributes)
            for text in code.texts:
                if self._tree.is_ours(text) and "." in text:
                    self.visit(text, EVERYTHING)

    def section_of(self, module: str, name: str) -> None:
        """The sections that annotate `config`, those within them and those that they are made from."""
        source = self._tree.source(module)
        annotation = source.sections.get(name) if source else None
        for node in ast.walk(annotation) if annotation is not None else ():
            owner, bare = self._origin(source, node.id) if isinstance(node, ast.Name) and source else (None, "")
            if owner is None or self._is_left_out(owner.name) or f"{owner.name}:{bare}()" in self.found.definitions:
                continue
            if isinstance(owner.definitions[bare][0], ast.ClassDef):
                self._add(owner, f"{bare}()")
                self.section_of(owner.name, bare)

    def _origin(self, source: ModuleSource, name: str) -> tuple[ModuleSource | None, str]:
        """The module that defines a name."""
        found: ModuleSource | None = source
        while found and name not in found.definitions:
            module, name = found.imports.get(name, [("", "")])[0]
            found = self._tree.source(module) if name else None
        return found, name

    def _load(self, source: ModuleSource) -> None:
        """What importing the module does, that of the packages around it too."""
        if f"{source.name}:" in self.found.definitions:
            return
        self._add(source, "")
        for module, _ in source.imports.get("*", ()):
            self.visit(module, EVERYTHING)
        parent = self._tree.source(source.name.rpartition(".")[0])
        if parent is not None:
            self._load(parent)

    def _add(self, source: ModuleSource, name: str) -> None:
        key = f"{source.name}:{name}"
        if key in self.found.definitions:
            return
        code = source.code(name)
        self.found.definitions[key] = code.text
        self.found.texts |= code.texts
        self._waiting.append((source, code))

    def _use(self, source: ModuleSource, name: str, attributes: str = "") -> None:
        """What a name stands for in a module: there may be both, as in `try: from a import f` `except: def f()`."""
        if name in source.definitions:
            self._add(source, name)
        for target in source.imports.get(name, ()):
            self._follow(target, attributes)

    def _follow(self, target: Target, attributes: str = "") -> None:
        module, name = target
        if not self._tree.is_ours(module):
            self.found.libraries.add(module.partition(".")[0])
            return
        asked = ".".join(one for one in (name, attributes) if one)
        while (inner := asked.partition("."))[0] and self._tree.source(f"{module}.{inner[0]}") is not None:
            if self._tree.binds(module, inner[0]):  # the name of its module may stand for a function of it
                self.visit(module, inner[0])
            module, asked = f"{module}.{inner[0]}", inner[2]
        self.visit(module, asked.partition(".")[0] or EVERYTHING)

    def _is_left_out(self, module: str) -> bool:
        return any(module == one or module.startswith(f"{one}.") for one in self._leave_out)


class _Essence(ast.NodeTransformer):
    """What of a statement can change a result. A text that stands alone is a docstring, wherever it stands.

    Args:
        package: that the statement's module lies in.
    """

    def __init__(self, package: str) -> None:
        self._package = package.split(".")
        self._in_class = False

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._definition(node, in_class=True)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        node.decorator_list = [one for one in node.decorator_list if not _is_call_of(one, "stage")]
        return self._definition(node, in_class=False)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(node.arg)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        self.generic_visit(node)
        if self._in_class:
            return node
        return ast.Assign([node.target], node.value, lineno=0) if node.value is not None else None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        """`from .rows import spread` as what it means in its package."""
        if node.level:
            within = self._package[: len(self._package) + 1 - node.level]
            node.module, node.level = ".".join([*within, *([node.module] if node.module else [])]), 0
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if text else self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if _is_call_of(node, "Field"):
            node.keywords = [one for one in node.keywords if one.arg not in _ONLY_DESCRIBES]
        return self.generic_visit(node)

    def _definition(self, node: ast.ClassDef | ast.FunctionDef, *, in_class: bool) -> ast.AST:
        outside, self._in_class = self._in_class, in_class
        self.generic_visit(node)
        self._in_class = outside
        node.body = node.body or [ast.Pass()]
        return node


def _code(statements: list[ast.stmt]) -> Code:
    nodes = [node for one in statements for node in ast.walk(one)]
    around = {id(one.value): one for one in nodes if isinstance(one, ast.Attribute)}
    return Code(
        text="\n".join(ast.unparse(one) for one in statements),
        names=frozenset((one.id, _asked(one, around)) for one in nodes if isinstance(one, ast.Name)),
        imports=tuple(target for one in nodes for _, target in _imported(one)),
        texts=frozenset(one.value for one in nodes if isinstance(one, ast.Constant) and isinstance(one.value, str)),
    )


def _asked(name: ast.expr, around: Mapping[int, ast.Attribute]) -> str:
    """`a.b.c` => `b.c`.

    Args:
        around: identity of an expression => the attribute that is asked of it.
    """
    asked: list[str] = []
    while (attribute := around.get(id(name))) is not None:
        asked.append(attribute.attr)
        name = attribute
    return ".".join(asked)


def _section(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> ast.expr | None:
    if isinstance(node, ast.ClassDef):
        fields = [one.annotation for one in node.body if isinstance(one, ast.AnnAssign)]
        return ast.Tuple([*node.bases, *fields], ast.Load())
    return next((one.annotation for one in node.args.args if one.arg == "config"), None)


def _is_call_of(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _is_field(statement: ast.stmt) -> bool:
    """Whether a statement of a section is one of its fields, or of no effect; a class variable is none."""
    if isinstance(statement, ast.AnnAssign):
        return not ast.unparse(statement.annotation).startswith("ClassVar")
    return isinstance(statement, ast.Pass)


def _top_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """A module's statements, those within `if`, `try`, `with` and loops too, but not what is for type checkers.

    Of a statement that holds others its own line comes first: a condition decides what is bound.
    """
    waiting: list[ast.stmt] = list(reversed(tree.body))
    while waiting:
        statement = waiting.pop()
        blocks = [] if isinstance(statement, _Function | ast.ClassDef) else list(_blocks(statement))
        for_checkers = isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING"
        waiting += reversed([one for block in blocks[for_checkers:] for one in block])
        for block in blocks:
            block[:] = [ast.Pass()]
        if not for_checkers:
            yield statement


def _blocks(statement: ast.AST) -> Iterator[list[ast.stmt]]:
    """The lists of statements within a statement, in order."""
    for _, value in ast.iter_fields(statement):
        parts = value if isinstance(value, list) else []
        if parts and isinstance(parts[0], ast.stmt):
            yield parts
        for part in parts:
            if isinstance(part, ast.ExceptHandler | ast.match_case):
                yield part.body


def _bound(statement: ast.stmt) -> list[str]:
    """The names that a statement binds, by `:=` too; those within a comprehension are its own."""
    if isinstance(statement, _Function | ast.ClassDef):
        return [statement.name]
    nodes = list(ast.walk(statement))
    own = {id(inner) for one in nodes if isinstance(one, ast.comprehension) for inner in ast.walk(one.target)}
    names = (one for one in nodes if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store))
    return [one.id for one in names if id(one) not in own]


def _only_binds(statement: ast.stmt) -> bool:
    """Whether it has its effect where a name of its own is used, and nowhere else."""
    if isinstance(statement, ast.Assign | ast.AugAssign):
        return bool(_bound(statement))
    return isinstance(statement, _Function | ast.ClassDef | ast.Import | ast.ImportFrom)


def _imported(statement: ast.AST) -> Iterator[tuple[str, Target]]:
    """Name => what it stands for, for every name that an import binds."""
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            yield alias.asname or alias.name, (alias.name, "")
            if not alias.asname and "." in alias.name:
                yield alias.name.partition(".")[0], (alias.name.partition(".")[0], "")
    elif isinstance(statement, ast.ImportFrom) and statement.module:
        for alias in statement.names:
            yield alias.asname or alias.name, (statement.module, alias.name)
