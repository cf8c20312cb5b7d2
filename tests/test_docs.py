"""What the documentation promises is there."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path

from click.testing import CliRunner

from evolve.cli.main import COMMANDS, cli
from evolve.config import RunConfig

DOCS = Path(__file__).resolve().parent.parent / "docs"


def settings():
    config = RunConfig()
    sections = [field.name for field in fields(config) if is_dataclass(getattr(config, field.name))]
    return {f"{name}.{field.name}" for name in sections for field in fields(getattr(config, name))}


def test_settings_page_lists_every_setting_and_no_other():
    text = (DOCS / "settings.md").read_text().replace("`, `.full`, `.cross`", "` `proposals.full` `proposals.cross`")
    known = settings()
    documented = set(re.findall(r"`([a-z]+\.[a-z_]+)`", text))
    assert documented == known


def test_commands_in_the_documentation_exist():
    pages = [*DOCS.glob("*.md"), DOCS.parent / "README.md"]
    words = {word for page in pages for word in re.findall(r"(?m)^(?:\$ )?evolve ([a-z]+)", page.read_text())}
    assert words
    assert words <= set(COMMANDS)


def test_options_in_the_documentation_exist():
    runner = CliRunner()
    known = set()
    for name in COMMANDS:
        known |= set(re.findall(r"--[a-z-]+", runner.invoke(cli, [name, "--help"]).output))
    for page in [*DOCS.glob("*.md"), DOCS.parent / "README.md"]:
        used = {
            option
            for line in re.findall(r"(?m)^(?:\$ )?(evolve .*)$", page.read_text())
            for option in re.findall(r"--[a-z-]+", line)
        }
        assert used <= known, f"{page.name}: {used - known}"
