"""What is installed for a job: recipes are written here, built on the cluster once, and found there by their key."""

from clustrix_core.environments.asked import may_bring_python, recipe
from clustrix_core.environments.build import build
from clustrix_core.environments.recipe import File, Recipe

__all__ = ["File", "Recipe", "build", "may_bring_python", "recipe"]
