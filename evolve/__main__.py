"""``python -m evolve``."""

from evolve.cli.main import main

main()
