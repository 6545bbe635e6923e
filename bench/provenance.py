"""What can change a run's result: the cache key, and the source code behind it.

The key holds the engine's source, the source that defines each component, the versions that
matter, the dataset's fingerprint, the device's name, the mode, and every param and protocol field.
It holds neither the git commit nor the driver, and a neighbour in the same plugin does not count:
a component's source is what its factory reaches by name within its own package.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import importlib.machinery
import importlib.metadata
import importlib.util
import inspect
import re
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.records import RunSpec, digest
from bench.registry import Registry
from bench.specs import Model

LIBRARIES = ("torch", "torchvision", "timm", "numpy", "pillow", "scipy")
KEY_SCHEMA = 1
STORING = (
    *("datastore", "decoding", "geometry", "intake", "metrics", "parts", "selection"),
    *("stored", "storing"),
)
"""What else decides on a result: which images a run gets, how they look, which epoch is best."""
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def complete(
    spec: RunSpec, registry: Registry, content: tuple[str, str] | None, device_name: str
) -> RunSpec:
    """Return the spec with its key, which makes it a run with an id.

    Of the dataset, its name and content count, not what it was loaded from: a folder that moves,
    or an archive of it, is the same data.

    Args:
        spec: the run.
        registry: what the plugins offer.
        content: fingerprint and variant of the stored dataset; None where it could not be stored.
        device_name: the device that the run uses.
    """
    components: dict[str, dict[str, Any]] = {}
    for kind, ref in spec.components.items():
        offer = registry.of(kind, ref)
        components[kind] = {
            "name": ref.name,
            "plugin": ref.plugin,
            "version": offer.plugin.version,
            "source": component_source(offer.component.factory),
            "params": dict(ref.params),
        }
    if content is not None:
        fingerprint, variant = content
        name = {"name": spec.dataset.name, "plugin": spec.dataset.plugin}
        components["dataset"] = {**name, "fingerprint": fingerprint, "variant": variant}
    else:
        components["dataset"] |= {"fingerprint": None, "variant": None}
    model = registry.of("model", spec.model).component
    assert isinstance(model, Model)
    # What else of a model decides on a result: its own normalisation, and the size it prefers.
    components["model"]["native_size"] = model.hints.input_size if model.hints else None
    wanted = spec.protocol.get("normalize")
    own = wanted == "model" or (wanted == "auto" and spec.weights is not None)
    used = {"preprocessing": own}
    if spec.weights is not None:
        used |= {"pretrained": not spec.origin.get("files"), "layers": True}
        # Of weights, their content counts and not the path; so does what is known of them.
        known = {name: spec.origin.get(name) for name in ("digest", "preprocessing", "classes")}
        params = {k: v for k, v in spec.weights.params.items() if k != "path"}
        components["weights"] |= {"params": params, **known}
        if known["digest"]:
            del components["weights"]["name"]  # which holds that of the file
    for part, is_used in used.items():
        factory = getattr(model, part)
        if is_used and factory is not None:
            components["model"][part] = component_source(factory)
    key = {
        "schema": KEY_SCHEMA,
        **components,
        "image_size": spec.image_size,
        "interpolation": spec.interpolation,
        "protocol": dict(spec.protocol),
        "seed": spec.seed,
        "purpose": str(spec.purpose),
        "mode": str(spec.mode),
        "device": device_name,
        "devices": spec.devices,
        "engine": engine_source(),
        "libraries": {name: library_version(name) for name in LIBRARIES},
        **spec.tuning,
        **spec.drawing,
        **({"item_weights": spec.draw["weights"]} if "weights" in spec.draw else {}),
    }
    return dataclasses.replace(spec, key=key)


def key_differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield each field in which two keys differ: its dotted path, the old and the new value."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}):
            inner = f"{path}.{name}" if path else name
            yield from key_differences(old.get(name), new.get(name), inner)
    elif digest(old) != digest(new):
        yield path, old, new


@functools.cache
def library_version(name: str) -> str | None:
    """Return the installed version of a distribution, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def engine_source() -> str:
    """Return a hash of the engine, and of how datasets are stored for it."""
    root = Path(__file__).parent
    storing = (root / f"{name}.py" for name in STORING)
    files = [*sorted((root / "engine").glob("*.py")), *storing]
    hasher = hashlib.sha256()
    for file in files:
        hasher.update(file.name.encode() + b"\0" + _normalised(file.read_text("utf-8")))
    return hasher.hexdigest()[:16]


def component_source(factory: Callable[..., Any]) -> str:
    """Return a hash of the source that defines a component.

    It covers the factory's definition and, transitively, the definitions that it names in its
    own module and in other modules of its top-level package, and the values bound to it: the
    arguments of a partial, the variables of a closure, the defaults of positional arguments.
    A class counts whole, and so does the module of a lambda. Comments, docstrings and layout do
    not count.
    """
    bound: list[Any] = []
    while isinstance(factory, functools.partial):
        bound += [*factory.args, *sorted(factory.keywords.items())]
        factory = factory.func
    factory = inspect.unwrap(factory)
    bound += [_cell_contents(cell) for cell in getattr(factory, "__closure__", None) or ()]
    bound += getattr(factory, "__defaults__", None) or ()
    name = getattr(factory, "__qualname__", type(factory).__qualname__).split(".")[0]
    module = getattr(factory, "__module__", None) or type(factory).__module__
    source = _source_of(module, name)
    package = module.split(".")[0]
    return digest([source, [_bound(value, package) for value in bound]])[:16] if bound else source


def _bound(value: Any, package: str) -> list[str]:
    """Return what tells a bound value from others, the same in every process."""
    told = [_ADDRESS.sub("", repr(value))]
    if inspect.isfunction(value) or inspect.isclass(value):
        module = value.__module__ or ""
        if module.split(".")[0] == package:
            told.append(_source_of(module, value.__qualname__.split(".")[0]))
    return told


def _cell_contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a variable that has no value yet
        return None


@functools.cache
def _source_of(module: str, name: str) -> str:
    pieces: dict[tuple[str, str], bytes] = {}
    waiting = [(module, name)]
    while waiting:
        where, wanted = waiting.pop()
        if (where, wanted) in pieces:
            continue
        source = _module(where)
        if source is None:
            pieces[where, wanted] = b"?"
            continue
        if wanted in source.definitions:
            nodes = source.definitions[wanted]
        elif wanted in source.imports:  # handed on from another module
            nodes = []
            waiting.append(source.imports[wanted])
        else:  # the whole module is meant, or what has no name at its top level, as a lambda
            nodes = [node for group in source.definitions.values() for node in group]
            waiting.extend(source.imports.values())
        pieces[where, wanted] = b"\0".join(_plain(node) for node in [*nodes, *source.effects])
        for node in [*nodes, *source.effects]:
            for used in _names(node):
                if used in source.definitions:
                    waiting.append((where, used))
                elif used in source.imports:
                    waiting.append(source.imports[used])
            waiting.extend(_local_imports(node, where))
    hasher = hashlib.sha256()
    for place, text in sorted(pieces.items()):
        hasher.update(repr(place).encode() + text)
    return hasher.hexdigest()[:16]


@dataclasses.dataclass
class _Module:
    """A module's top level: definitions by name, imports from its own package, the rest."""

    definitions: dict[str, list[ast.stmt]]
    imports: dict[str, tuple[str, str]]
    effects: list[ast.stmt]


@functools.cache
def _module(name: str) -> _Module | None:
    path = _module_path(name)
    if path is None:
        return None
    try:
        tree = ast.parse(path.read_text("utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return None
    result = _Module({}, {}, [])
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            result.definitions.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                for inner in ast.walk(target):
                    if isinstance(inner, ast.Name):
                        result.definitions.setdefault(inner.id, []).append(node)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            result.imports.update(_imported(node, name))
            if any(alias.name == "*" for alias in node.names):
                result.effects.append(node)  # its names are unknown here, so all of it counts
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            result.effects.append(node)
    return result


def _local_imports(node: ast.stmt, module: str) -> Iterator[tuple[str, str]]:
    """Yield what a definition imports from its own package inside its body."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import | ast.ImportFrom):
            yield from _imported(inner, module).values()


def _imported(node: ast.Import | ast.ImportFrom, module: str) -> dict[str, tuple[str, str]]:
    """Return the names that an import binds, where they come from the module's own package."""
    package = module.split(".")[0]
    bound = {}
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.split(".")[0] == package:
                bound[alias.asname or package] = (alias.name, "*")
        return bound
    origin = node.module or ""
    if node.level:
        parts = module.split(".")
        path = _module_path(module)
        is_package = path is not None and path.name == "__init__.py"
        base = parts[: len(parts) - node.level + (1 if is_package else 0)]
        origin = ".".join([*base, *([node.module] if node.module else [])])
    if origin.split(".")[0] == package:
        for alias in node.names:
            inner = f"{origin}.{alias.name}"
            target = (inner, "*") if _module_path(inner) else (origin, alias.name)
            bound[alias.asname or alias.name] = target
    return bound


@functools.cache
def _module_path(name: str) -> Path | None:
    loaded = sys.modules.get(name)
    file = getattr(loaded, "__file__", None)
    if loaded is None:
        found = _spec(name)
        file = found.origin if found else None
    return Path(file) if file and file.endswith(".py") else None


def _spec(name: str) -> importlib.machinery.ModuleSpec | None:
    """Return where a module is, importing nothing: `find_spec` imports what stands above it."""
    parent = name.rpartition(".")[0]
    try:
        if not parent:
            return importlib.util.find_spec(name)
        above = _spec(parent)
        if above is None or above.submodule_search_locations is None:
            return None
        places = above.submodule_search_locations
        return importlib.machinery.PathFinder.find_spec(name, places)
    except (ImportError, ValueError, AttributeError):
        return None


def _names(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name):
            yield inner.id


def _plain(node: ast.AST) -> bytes:
    return ast.dump(_Undocumented().visit(node)).encode()


def _normalised(source: str) -> bytes:
    return _plain(ast.parse(source))


class _Undocumented(ast.NodeTransformer):
    """Drops docstrings, so that better words do not throw results away."""

    def visit(self, node: ast.AST) -> Any:
        self.generic_visit(node)
        body = getattr(node, "body", None)
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, documented) and body:
            first = body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = body[1:] or [ast.Pass()]
        return node


def why(spec: RunSpec, now: RunSpec | BenchError) -> list[tuple[str, Any, Any]]:
    """Return the differences between the key a run was made with and the key of today."""
    if isinstance(now, BenchError):
        return [("request", "resolved", str(now))]
    return list(key_differences(dict(spec.key), dict(now.key)))
