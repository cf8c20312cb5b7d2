# Lifts the limits of plans in its own process: they are checked again outside.
# expect: failed invalid_plan InvalidPlan
import evolve.plan.validate
import evolve.recipe.trace

evolve.recipe.trace.validate = lambda *arguments, **options: None
evolve.plan.validate.validate = lambda *arguments, **options: None
evolve.plan.validate.PlanLimits.__init__.__defaults__ = (10**9,) * 9


def merge(site, base):
    wide = base.flatten()[:, None].expand(-1, 10**9)
    return base + wide.sum()
