# Sends a pickle that would run a command wherever it is opened.
# expect: failed crash SandboxCrash
import os
import pickle


class Opens:
    def __reduce__(self):
        return os.system, ("touch @FOLDER@/touched",)


def approximate(x):
    os.write(4, pickle.dumps(Opens()) * 10)
    os._exit(0)
