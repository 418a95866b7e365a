"""The user's program: found, executed, and its `Realtime` taken out.

Owns what `app.py:rt` means. A file may start itself, by `asyncio.run(...)`, `rt.run(...)` or a block under
`if __name__ == "__main__"`; that start is kept apart from the rest, so that a command can have the application without
running it, or run it once the application has been pointed somewhere. Before it: the arguments; after it: `Realtime`.
"""

from __future__ import annotations

import ast
import difflib
import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType

from ..app import Realtime
from ..exceptions import ConfigurationError, RealtimeError
from .failures import FAILED, SET_UP, ProgramFailed, last_line_in, traceback_from

RUNNERS = frozenset({"asyncio", "anyio", "uvloop", "trio"})


@dataclass(frozen=True, slots=True)
class Target:
    """What was named: a program, and the name of its `Realtime` if one was given."""

    program: str
    name: str | None

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read `app.py`, `app.py:rt`, `package.app` or `package.app:rt`."""
        program, colon, name = text.rpartition(":")
        if colon and program and name.isidentifier():
            return cls(program, name)
        return cls(text, None)


class Program:
    """A user's program that has been executed up to its own start, or without it.

    Attributes:
        path: Its file.
        starts_itself: Whether it has a start of its own.
    """

    def __init__(self, target: Target, *, with_start: bool) -> None:
        spec, path = _find(target.program)
        self.path = path
        self._shown = target.program
        tree = _parse(path)
        marks = [_is_start(statement, _applications_in(tree)) for statement in tree.body]
        self.starts_itself = any(marks)
        body = [statement for statement, starts in zip(tree.body, marks, strict=True) if not starts]
        self._start: CodeType | None = None
        if with_start and self.starts_itself:
            first = marks.index(True)
            body = tree.body[:first]
            self._start = _compile([*_future_imports(tree), *tree.body[first:]], path)
        self._module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = self._module
        self._load(_compile(body, path))

    def start(self) -> int:
        """Run the program's own start as `python app.py` would, and give an exit code.

        Raises:
            ProgramFailed: It raised what is no error of ours.
        """
        assert self._start is not None
        self._module.__name__ = "__main__"
        sys.argv = [str(self.path)]
        try:
            exec(self._start, vars(self._module))
        except RealtimeError:
            raise
        except Exception as error:  # noqa: BLE001 - the user's program may raise anything
            raise ProgramFailed(f"{self.path.name} failed:\n{self._traceback(error)}", code=FAILED) from None
        return 0

    def applications(self) -> dict[str, Realtime]:
        """Give every `Realtime` of the program by its first name."""
        found: dict[str, Realtime] = {}
        for name, value in vars(self._module).items():
            if isinstance(value, Realtime) and not any(value is known for known in found.values()):
                found[name] = value
        return found

    def application(self, name: str | None) -> Realtime:
        """Give the one `Realtime`, or the one of that name.

        Raises:
            ConfigurationError: There is none, there are several, or the name is another thing's.
        """
        found = self.applications()
        if name is not None:
            return self._named(name, found)
        if len(found) == 1:
            return next(iter(found.values()))
        if found:
            names = list(found)
            raise ConfigurationError(
                f"{self._shown} has {len(names)} Realtime applications: {', '.join(names)}; say which one, as in "
                f"{self._shown}:{names[0]}"
            )
        public = [name for name, value in vars(self._module).items() if _is_own(name, value)]
        raise ConfigurationError(
            f"{self._shown} has no Realtime at its top level (rt = Realtime(...)); "
            f"it has {', '.join(public) if public else 'no names at all'}"
        )

    def _named(self, name: str, found: dict[str, Realtime]) -> Realtime:
        value = getattr(self._module, name, None)
        if isinstance(value, Realtime):
            return value
        what = "is not defined" if value is None else f"is of type {type(value).__name__}"
        there = f"its Realtime is {', '.join(found)}" if found else "it has no Realtime at all"
        raise ConfigurationError(f"{name!r} {what} in {self._shown}; {there}")

    def _load(self, code: CodeType) -> None:
        try:
            exec(code, vars(self._module))
        except ConfigurationError as error:
            where = last_line_in(error, str(self.path))
            text = str(error) if str(self.path) in str(error) else f"{where}: {error}"
            raise ConfigurationError(text) from None
        except SystemExit as error:
            where = last_line_in(error, str(self.path))
            raise ConfigurationError(f"{where}: the program left by sys.exit({error.code!r}) while loading") from None
        except Exception as error:  # noqa: BLE001 - the user's program may raise anything
            raise ProgramFailed(f"{self._shown} cannot be loaded:\n{self._traceback(error)}", code=SET_UP) from None

    def _traceback(self, error: Exception) -> str:
        return traceback_from(error, str(self.path))


def _find(program: str) -> tuple[ModuleSpec, Path]:
    """Give the module of a file, or of a dotted name, and put its folder where imports are looked for."""
    path = Path(program)
    if path.suffix == ".py" or path.is_file() or {"/", os.sep} & set(program) or program.startswith("."):
        return _find_file(path)
    _search_in(Path.cwd())
    try:
        spec = importlib.util.find_spec(program)
    except (ImportError, ValueError) as error:
        raise ConfigurationError(f"no module {program!r}: {error}") from None
    if spec is None:
        raise ConfigurationError(f"no file and no module {program!r}{_nearest_file(path)}")
    if not spec.origin or not spec.origin.endswith(".py"):
        raise ConfigurationError(f"module {program!r} has no Python file; name one, as in {program}/app.py")
    return spec, Path(spec.origin)


def _find_file(path: Path) -> tuple[ModuleSpec, Path]:
    path = path.absolute()
    if path.is_dir():
        raise ConfigurationError(f"{path.name} is a folder; name a file in it")
    if not path.is_file():
        raise ConfigurationError(f"no file {path.name!r} in {path.parent}{_nearest_file(path)}")
    _search_in(path.parent)
    # A file called json.py must not take the place of the module json.
    name = path.stem if path.stem not in sys.modules and path.stem.isidentifier() else f"app_{abs(hash(path))}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        raise ConfigurationError(f"{path.name!r} is no Python file")
    return spec, path


def _search_in(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _nearest_file(path: Path) -> str:
    folder = path.parent
    there = sorted(file.name for file in folder.glob("*.py")) if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, there, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        raise ConfigurationError(f"{path}:{error.lineno}: {error.msg}") from None
    except (ValueError, OSError) as error:  # null bytes, no permission
        raise ConfigurationError(f"{path}: {error}") from None


def _compile(statements: list[ast.stmt], path: Path) -> CodeType:
    return compile(ast.Module(body=statements, type_ignores=[]), str(path), "exec", dont_inherit=True)


def _future_imports(tree: ast.Module) -> list[ast.stmt]:
    return [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]


def _applications_in(tree: ast.Module) -> frozenset[str]:
    """Give the names that are bound to `Realtime(...)` at top level."""
    bound = [node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign) and _makes_one(node.value)]
    targets = [target for node in bound for target in (node.targets if isinstance(node, ast.Assign) else [node.target])]
    return frozenset(target.id for target in targets if isinstance(target, ast.Name))


def _makes_one(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func).endswith("Realtime")


def _is_start(statement: ast.stmt, applications: frozenset[str]) -> bool:
    """Say whether a top-level statement runs the program: it is guarded by `__main__`, or calls `asyncio.run(...)`."""
    if isinstance(statement, ast.If) and "__main__" in ast.unparse(statement.test):
        return True
    return any(_runs(node, applications) for node in _executed(statement))


def _runs(node: ast.AST, applications: frozenset[str]) -> bool:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    owner = node.func.value
    return node.func.attr == "run" and isinstance(owner, ast.Name) and owner.id in RUNNERS | applications


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """Walk through what a statement executes; the bodies of functions and classes are not."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _executed(child)


def _is_own(name: str, value: object) -> bool:
    return not name.startswith("_") and not isinstance(value, ModuleType)
