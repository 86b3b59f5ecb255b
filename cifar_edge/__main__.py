"""`python -m cifar_edge`, for where the command is not on the path."""

from cifar_edge.cli.app import main

main()
