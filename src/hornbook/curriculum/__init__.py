"""What textbook pages are about: topics in a tree, their readers, and how they are written; all of it is data files."""

from hornbook.curriculum.files import load_curriculum
from hornbook.curriculum.tree import Cell, Curriculum, Topic, Trait, Words

__all__ = ["Cell", "Curriculum", "Topic", "Trait", "Words", "load_curriculum"]
