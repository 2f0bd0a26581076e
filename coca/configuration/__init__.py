"""Configurations of runs, trainings and fits, and how their files are read."""
