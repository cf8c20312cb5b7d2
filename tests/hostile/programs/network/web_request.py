# Sends what it found to a web server.
# expect: failed runtime_error URLError|ModuleNotFoundError
import urllib.request


def approximate(x):
    urllib.request.urlopen("http://127.0.0.1:@PORT@/?found=secret", timeout=1)
    return x
