"""A recipe as a loaded program: its functions, what they ask for, and errors that name the line."""

from __future__ import annotations

import difflib
import inspect
import random
import sys
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import torch

from evolve.errors import CandidateError, RecipeError, RecipeSyntaxError
from evolve.plan.plan import MERGED
from evolve.plan.statistics import STATISTICS, available
from evolve.site import Site

FILENAME = "<program>"
MODULE_NAME = "recipe_program"
MAX_SOURCE_CHARACTERS = 2**20
MAX_MESSAGE_CHARACTERS = 600
TOTALS = "totals"


@dataclass(frozen=True)
class DonorInfo:
    """What a recipe may know of a donor: ``statistics`` are the names of those prepared for it."""

    layers: int
    statistics: tuple[str, ...] = ()


def hint(name: object, known: Iterable[str], otherwise: str) -> str:
    """``did you mean`` the nearest of the known names; without one, ``otherwise`` and all of them."""
    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"{otherwise} {', '.join(known)}"


class RecipeSite(Site):
    """A site as merge() sees it; unknown attributes are refused with the nearest name."""

    _prepared: Mapping[str, Collection[str]]
    _read: Callable[[str, str], Any]

    def stat(self, name: str, donor: str) -> Any:
        """A donor's prepared statistic at this site: a float32 tensor of the statistic's shape."""
        for text in (name, donor):
            if not isinstance(text, str):
                kind = type(text).__name__
                raise RecipeError(f'site.stat("fisher", "ja") takes two texts, not a {kind}', kind="TypeError")
        asked = f"site.stat({name!r}, {donor!r})"
        if name not in STATISTICS:
            raise RecipeError(f"{asked}: no such statistic; {hint(name, STATISTICS, 'there are')}")
        if donor not in self._prepared:
            raise RecipeError(f"{asked}: no such donor; {hint(donor, self._prepared, 'the donors are')}")
        if not available(name, self):
            raise RecipeError(f"{asked}: {self.role} has none; {name!r} exists at {STATISTICS[name].where}")
        if name not in self._prepared[donor]:
            raise RecipeError(f"{asked} is not prepared; run `evolve donors PROBLEM --prepare`")
        return self._read(donor, name)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        known = ("name", "layer", "depth", "role", "block", "shape", "kind", "stat")
        raise RecipeError(f"site has no attribute {name!r}; {hint(name, known, 'it has')}", kind="AttributeError")

    @classmethod
    def of(cls, site: Site, prepared: Mapping[str, Collection[str]], read: Callable[[str, str], Any]) -> RecipeSite:
        """The same site with a torch.Size as its shape; ``read(donor, name)`` gives one of the ``prepared``
        statistics."""
        made = cls(site.name, site.layer, site.depth, site.role, site.block, torch.Size(site.shape), site.kind)
        made._prepared, made._read = prepared, read
        return made


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
class SiteFunction:
    """A function of a recipe that is called once per site: the donors it asks for (None: all of them), and whether it
    asks for totals.
    """

    call: Callable[..., Any]
    wanted: tuple[str, ...] | None
    totals: bool

    @property
    def line(self) -> int | None:
        return line_of_function(self.call)

    def select(self, donors: Collection[str]) -> Sequence[str]:
        """The names of the donors to hand to it."""
        return self.wanted if self.wanted is not None else sorted(donors)


@dataclass(frozen=True)
class Recipe:
    """The functions of a recipe: ``merge``, and ``gather`` and ``stack`` or None."""

    merge: SiteFunction
    gather: SiteFunction | None
    stack: Callable[..., Any] | None

    @classmethod
    def of(cls, module: types.ModuleType, donors: Collection[str]) -> Recipe:
        """Reads a loaded module; raises RecipeError for a missing or malformed function."""
        names = vars(module)
        for reserved in (MERGED, TOTALS):
            if reserved in donors:
                raise RecipeError(f"a donor cannot be called {reserved!r}; rename it")
        if not callable(names.get("merge")):
            raise RecipeError(
                "the program defines no merge(site, ...) function; add one that returns the merged tensor"
            )
        merge = _site_function("merge", names["merge"], donors)
        # Functions of the program only: `from torch import *` also brings a gather and a stack.
        gather, stack = (
            function if isinstance(function, types.FunctionType) else None
            for function in (names.get("gather"), names.get("stack"))
        )
        gathers = None if gather is None else _site_function("gather", gather, donors)
        if merge.totals and gathers is None:
            raise RecipeError(
                "merge() asks for totals, but the program defines no gather(site, ...); add one that returns a dict "
                "of numbers, which are summed over all sites",
                line=merge.line,
            )
        if gathers is not None and gathers.totals:
            raise RecipeError("gather() cannot ask for totals: they are the sums of what it returns", line=gathers.line)
        return cls(merge, gathers, stack)


def line_of_function(function: Any) -> int | None:
    """The line where a function of the program is defined."""
    code = getattr(function, "__code__", None)
    return code.co_firstlineno if code is not None and code.co_filename == FILENAME else None


def _site_function(name: str, function: Callable[..., Any], donors: Collection[str]) -> SiteFunction:
    """Reads the parameters: the first is the site, the others donors or totals."""
    line = line_of_function(function)
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        raise RecipeError(f"{name} must be a function {name}(site, ...)", line=line) from None
    if not parameters or parameters[0].kind not in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    ):
        raise RecipeError(f"{name}() takes no site; its first parameter must be `site`, then the donors", line=line)
    if parameters[0].name in donors:
        raise RecipeError(
            f"{name}()'s first parameter is the donor {parameters[0].name!r}; it must be `site`", line=line
        )
    wanted: list[str] = []
    totals = everything = False
    for parameter in parameters[1:]:
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            everything = True
        elif parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            raise RecipeError(
                f"{name}(*{parameter.name}): donors are passed by name; write them out or use **", line=line
            )
        elif parameter.name in donors:
            wanted.append(parameter.name)
        elif parameter.name == TOTALS:
            totals = True
        elif parameter.default is inspect.Parameter.empty:
            near = difflib.get_close_matches(parameter.name, donors, n=1, cutoff=0.4)
            guess = f"did you mean {near[0]!r}? " if near else ""
            listed = ", ".join(sorted(donors))
            raise RecipeError(
                f"{name}() asks for donor {parameter.name!r}, which does not exist; {guess}The donors are {listed}",
                line=line,
            )
    return SiteFunction(function, None if everything else tuple(wanted), totals)
