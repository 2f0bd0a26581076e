"""The commands of the command line: run, analyse, train, fit."""
