# Has the tracer answer with a plan of its own making.
# expect: failed invalid_plan InvalidPlan
import sys

from evolve.plan.plan import Plan

trace = sys.modules["evolve.recipe.trace"]
trace.validate = lambda *arguments, **options: None
Plan.to_dict = lambda self: {"version": 2, "donors": ["/etc"], "templates": [], "sites": [], "stack": None}


def merge(site, base):
    return base
