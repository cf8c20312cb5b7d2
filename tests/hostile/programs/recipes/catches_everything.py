# Catches whatever could stop it.
# expect: failed timeout SandboxTimeout
def merge(site, base):
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
