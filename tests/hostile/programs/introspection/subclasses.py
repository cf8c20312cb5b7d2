# Finds the class that starts processes without importing anything.
# expect: failed runtime_error PermissionError
def approximate(x):
    found = [x.__class__.__mro__[-1]]
    seen = set()
    for kind in found:
        if kind not in seen:
            seen.add(kind)
            found.extend(type.__subclasses__(kind))
    popen = next((kind for kind in found if kind.__name__ == "Popen"), None)
    popen = popen or __import__("subprocess").Popen
    popen(["/bin/true"])
    return x
