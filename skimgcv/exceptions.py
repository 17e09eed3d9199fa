"""Warnings and errors that can be told apart by their type."""
