"""A grammar of composable concepts: exercises without limit, each with its solution and tests."""

from hornbook.grammar.compose import GRAMMARS, Exercise, Grammar, compose, is_heldout

__all__ = ["GRAMMARS", "Exercise", "Grammar", "compose", "is_heldout"]
