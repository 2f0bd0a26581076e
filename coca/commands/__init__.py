"""The commands of the command line, a module each: run, ics, analyse, lens, collect, train, fit."""
