"""What the command does, as functions: verify, create, extract, diff, filter, split and more.

Uses all rooms but the command; prints nothing.
"""
