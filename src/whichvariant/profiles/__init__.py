"""Profile state: events in, a profile out. Pure: no I/O, no clock, no randomness of its own.

The rules are those of docs/profiles.md (SEMANTICS section 5). `aggregate` is the heart; around it
stand the state's own types, identity, history, and the profile in the API's shape.
"""
