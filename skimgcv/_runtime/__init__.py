"""Helpers for all subpackages, independent of images and models.

Seeds and random streams, which must not change; threads, worker processes, memory maps, and
optional packages.
"""
