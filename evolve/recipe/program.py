"""A recipe as a loaded program: its functions, what they ask for, and errors that name the line."""

from __future__ import annotations

import difflib
import inspect
import random
import sys
import types
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import torch

from evolve.errors import CandidateError, RecipeError, RecipeSyntaxError, UnsupportedOperation
from evolve.plan.plan import MERGED
from evolve.site import Site

FILENAME = "<program>"
MODULE_NAME = "recipe_program"
MAX_SOURCE_CHARACTERS = 2**20
MAX_MESSAGE_CHARACTERS = 600
RESERVED = {"totals": "totals of a first pass", "gather": "gather(site, ...)"}


@dataclass(frozen=True)
class DonorInfo:
    """What a recipe may know of a donor."""

    layers: int


class RecipeSite(Site):
    """A site as merge() sees it; unknown attributes are refused with the nearest name."""

    def stat(self, name: str, donor: str) -> NoReturn:
        raise UnsupportedOperation(
            f"site.stat({name!r}, {donor!r}): donor statistics are not available yet; compute from the tensors"
        )

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        known = ("name", "layer", "depth", "role", "block", "shape", "kind")
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}"
        raise RecipeError(f"site has no attribute {name!r}; {hint}", kind="AttributeError")

    @classmethod
    def of(cls, site: Site) -> RecipeSite:
        """The same site with a torch.Size as its shape."""
        return cls(site.name, site.layer, site.depth, site.role, site.block, torch.Size(site.shape), site.kind)


@contextmanager
def blaming(where: str = "", line: int | None = None) -> Iterator[None]:
    """Turns whatever the recipe's code raises into a CandidateError with the line of its source (else ``line``).

    This is the boundary to foreign code, so it catches every exception; MemoryError passes, it is the sandbox's matter.
    """
    suffix = f" ({where})" if where else ""
    try:
        yield
    except MemoryError:
        raise
    except CandidateError as error:
        error.line = error.line or line_of(error) or line
        error.args = (str(error) + suffix,)
        raise
    except (Exception, SystemExit) as error:
        name = type(error).__name__
        message = " ".join(str(error).split())[:MAX_MESSAGE_CHARACTERS]
        text = f"{name}: {message}" if message else name
        raise RecipeError(text + suffix, line=line_of(error) or line, kind=name) from error


def line_of(error: BaseException) -> int | None:
    """The innermost line of the recipe's source in the error's traceback."""
    line = None
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == FILENAME:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


@contextmanager
def repeatable() -> Iterator[None]:
    """Keeps what a recipe does to Python's random numbers inside the block, where they start from a fixed seed."""
    state = random.getstate()
    random.seed(0)
    try:
        yield
    finally:
        random.setstate(state)


@contextmanager
def seeding(set_seed: Callable[[int], None]) -> Iterator[None]:
    """Lets ``torch.manual_seed`` of a recipe choose the seed of its noise instead of torch's global one."""

    def manual_seed(seed: Any) -> None:
        set_seed(int(seed) % 2**63)

    original = torch.manual_seed
    torch.manual_seed = torch.random.manual_seed = manual_seed  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.manual_seed = torch.random.manual_seed = original


def load(source: str) -> types.ModuleType:
    """Runs a recipe's module-level code; raises RecipeSyntaxError or RecipeError with the line."""
    if len(source) > MAX_SOURCE_CHARACTERS:
        raise RecipeSyntaxError(
            f"the program has {len(source)} characters, at most {MAX_SOURCE_CHARACTERS} are allowed"
        )
    try:
        code = compile(source, FILENAME, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise RecipeSyntaxError(f"{error.msg} at line {error.lineno}", line=error.lineno) from None
    except (ValueError, RecursionError, OverflowError, MemoryError) as error:
        raise RecipeSyntaxError(f"the program cannot be compiled: {error or 'it is nested too deeply'}") from None
    module = types.ModuleType(MODULE_NAME)
    module.__file__ = FILENAME
    # Dataclasses and other library code look a class's module up by name.
    sys.modules[MODULE_NAME] = module
    with blaming():
        exec(code, module.__dict__)
    return module


@dataclass(frozen=True)
class Recipe:
    """The functions of a recipe: ``merge`` with the donors it asks for (None: all of them), and ``stack`` or None."""

    merge: Callable[..., Any]
    wanted: tuple[str, ...] | None
    stack: Callable[..., Any] | None

    @classmethod
    def of(cls, module: types.ModuleType, donors: Collection[str]) -> Recipe:
        """Reads a loaded module; raises RecipeError for a missing or malformed merge()."""
        names = vars(module)
        if MERGED in donors:
            raise RecipeError(f"a donor cannot be called {MERGED!r}; rename it")
        # Functions of the program only: `from torch import *` also brings a gather and a stack.
        if isinstance(names.get("gather"), types.FunctionType):
            raise _reserved("gather", names["gather"])
        merge = names.get("merge")
        if not callable(merge):
            raise RecipeError(
                "the program defines no merge(site, ...) function; add one that returns the merged tensor"
            )
        stack = names.get("stack")
        if stack is not None and not isinstance(stack, types.FunctionType):
            stack = None
        return cls(merge, _wanted(merge, donors), stack)

    def select(self, donors: Mapping[str, Any]) -> dict[str, Any]:
        """The donors to hand to merge."""
        return {name: donors[name] for name in (self.wanted if self.wanted is not None else sorted(donors))}


def line_of_function(function: Any) -> int | None:
    """The line where a function of the program is defined."""
    code = getattr(function, "__code__", None)
    return code.co_firstlineno if code is not None and code.co_filename == FILENAME else None


def _reserved(name: str, function: Any) -> RecipeError:
    text = f"{RESERVED[name]} is reserved and not available yet; remove it from the program"
    return RecipeError(text, line=line_of_function(function))


def _wanted(merge: Callable[..., Any], donors: Collection[str]) -> tuple[str, ...] | None:
    """The donors among merge's parameters, after the first, which is the site."""
    line = line_of_function(merge)
    try:
        parameters = list(inspect.signature(merge).parameters.values())
    except (TypeError, ValueError):
        raise RecipeError("merge must be a function merge(site, ...)", line=line) from None
    if not parameters or parameters[0].kind not in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    ):
        raise RecipeError("merge() takes no site; its first parameter must be `site`, then the donors", line=line)
    if parameters[0].name in donors:
        raise RecipeError(
            f"merge()'s first parameter is the donor {parameters[0].name!r}; it must be `site`", line=line
        )
    wanted: list[str] = []
    for parameter in parameters[1:]:
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            return None
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            raise RecipeError(
                f"merge(*{parameter.name}): donors are passed by name; write them out or use **", line=line
            )
        if parameter.name in donors:
            wanted.append(parameter.name)
        elif parameter.name in RESERVED:
            raise _reserved(parameter.name, merge)
        elif parameter.default is inspect.Parameter.empty:
            near = difflib.get_close_matches(parameter.name, donors, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}? " if near else ""
            listed = ", ".join(sorted(donors))
            raise RecipeError(
                f"merge() asks for donor {parameter.name!r}, which does not exist; {hint}The donors are {listed}",
                line=line,
            )
    return tuple(wanted)
