# Catches every exception that could stop it.
# expect: failed timeout SandboxTimeout
def approximate(x):
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
