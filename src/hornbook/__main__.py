"""`python -m hornbook`: the command line."""

from hornbook.cli.main import main

main()
