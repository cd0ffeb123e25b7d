"""A grammar of composable concepts: exercises without limit, each with its solution and tests."""

from hornbook.tasks.grammar.compose import GRAMMARS, Composed, Grammar, compose, is_heldout

__all__ = ["GRAMMARS", "Composed", "Grammar", "compose", "is_heldout"]
