"""X and y: checked once, and viewed as rows.

X is never copied as a whole.
"""
