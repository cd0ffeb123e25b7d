"""A recipe, its steps, the plan, and how steps are executed."""
