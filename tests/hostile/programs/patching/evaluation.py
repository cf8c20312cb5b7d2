# Replaces the scoring in its own process, where nobody scores.
# expect: scored 0.5
import evolve.evaluation
import evolve.returned

evolve.evaluation.Evaluation = lambda **fields: {"score": 10**9}
evolve.returned.Returned.array = lambda self, *arguments: 10**9


def approximate(x):
    return x * 0
