# Ignores every signal that can be ignored, the one about its processor time among them.
# expect: failed timeout SandboxTimeout
import signal

for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)


def approximate(x):
    while True:
        pass
