"""X and y as the rest of the package sees them: checked once, and viewed as rows.

X is never copied whole; errors say what is needed, what came and what to do.
"""
