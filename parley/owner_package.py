"""`OwnerPackage`: an owner's folder, imported as a package of its own.

Owners name their modules as they like. Their `tools.py` or `utils.py` must never meet ours: modules
of one name have one place in `sys.modules`, and whichever is imported first would be both. So a folder
is never put on `sys.path`. Its modules live below a package of a reserved name, where relative imports
work as in any package; and an absolute import of a sibling (`import db`, `from tools import find`),
which works in a script, means the sibling, because owners' modules have an `__import__` of their own.
It is in effect for these modules alone, so nothing changes for ours or for libraries.
"""

from __future__ import annotations

import builtins
import importlib
import itertools
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final

_PREFIX: Final = "parley_app"
_numbers: Final = itertools.count(1)

_OWN_ROOT: Final = Path(__file__).resolve().parents[1]

_API: Final = "parley"
"""Always ours, even where a sibling has the name: a second copy would have other classes."""


class OwnerPackage(MetaPathFinder):
    """Package of one load; another load in the same process gets another package."""

    def __init__(self, folder: Path, *, alias: str = "") -> None:
        """
        Args:
            folder: Of the modules.
            alias: Name by which the folder's own modules may name the whole package.
        """
        number = next(_numbers)
        self.name = _PREFIX if number == 1 else f"{_PREFIX}_{number}"
        self.folder = folder.resolve()
        # Paths of the files whose loading began, by which they are recognised in tracebacks.
        self.files: set[str] = set()
        self._builtins = {**vars(builtins), "__import__": self._import}
        self._alias = alias
        self._siblings: dict[str, bool] = {}

    def load(self, module: str = "") -> ModuleType:
        """Import a module of the folder, or its `__init__.py`. Whatever it raises passes through.

        Call it once. A load that fails leaves nothing in `sys.modules`.
        """
        sys.meta_path.insert(0, self)
        try:
            root = self._create_root(has_code=not module)
            return importlib.import_module(f"{self.name}.{module}") if module else root
        except BaseException:
            sys.meta_path.remove(self)
            for name in [one for one in sys.modules if self._has(one)]:
                del sys.modules[name]
            raise

    def _has(self, name: str) -> bool:
        return name == self.name or name.startswith(f"{self.name}.")

    def _create_root(self, *, has_code: bool) -> ModuleType:
        if has_code:
            path = str(self.folder / "__init__.py")
            loader = _OwnerLoader(self.name, path, self._builtins, self.files)
            places = [str(self.folder)]
            spec = spec_from_file_location(
                self.name, path, loader=loader, submodule_search_locations=places
            )
            assert spec is not None
        else:
            spec = ModuleSpec(self.name, None, is_package=True)
            spec.submodule_search_locations = [str(self.folder)]
        root = module_from_spec(spec)
        sys.modules[self.name] = root
        if spec.loader is not None:
            spec.loader.exec_module(root)
        return root

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module of this package; see `MetaPathFinder`."""
        if not fullname.startswith(f"{self.name}."):
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _OwnerLoader(fullname, spec.loader.path, self._builtins, self.files)
            spec.cached = None
        return spec

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002 - names of `__import__`
        locals: Mapping[str, Any] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """Stand for `__import__` in the owner's modules."""
        own = None if level else self._own_name(name)
        if own is None:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        module = importlib.import_module(own)
        if fromlist:
            # Imports names that are modules, too.
            return builtins.__import__(own, globals, locals, fromlist, 0)
        # `import a.b` binds `a`.
        depth = name.count(".")
        return sys.modules[own.rsplit(".", depth)[0]] if depth else module

    def _own_name(self, name: str) -> str | None:
        """Return the full name if the top of `name` is a module of this package."""
        top, dot, rest = name.partition(".")
        if top == self._alias:
            return f"{self.name}{dot}{rest}"
        if top == _API or self.folder == _OWN_ROOT:
            return None
        if top not in self._siblings:
            self._siblings[top] = self._is_sibling(top)
        return f"{self.name}.{name}" if self._siblings[top] else None

    def _is_sibling(self, top: str) -> bool:
        spec = PathFinder.find_spec(top, [str(self.folder)])
        if spec is None:
            return False
        # A folder without `__init__.py` may hold anything: a module found elsewhere goes first, as in Python.
        return spec.loader is not None or PathFinder.find_spec(top) is None


class _OwnerLoader(SourceFileLoader):
    """Loads from the source alone: bytecode of a file that was saved twice in a second is wrong."""

    def __init__(
        self, fullname: str, path: str, builtins_: dict[str, Any], files: set[str]
    ) -> None:
        """files: gets the path when the file is read"""
        super().__init__(fullname, path)
        self._builtins = builtins_
        self._files = files

    def get_code(self, fullname: str) -> CodeType:
        """Compile the file."""
        path = self.get_filename(fullname)
        self._files.add(path)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code

    def exec_module(self, module: ModuleType) -> None:
        """Run the file with the package's own `__import__`."""
        vars(module)["__builtins__"] = self._builtins
        super().exec_module(module)
