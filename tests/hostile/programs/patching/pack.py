# Replaces the function that puts its reply together by noise.
# expect: failed crash SandboxCrash
import evolve.sandbox.child

evolve.sandbox.child.pack = lambda *arguments: b"\xff" * 64


def approximate(x):
    return x
