# Searches the whole disk for weights and answers; what cannot be listed looks empty.
# expect: scored 0.5
import os


def approximate(x):
    for place in ("/", "/root", "/home", "/tmp", "/mnt", "/srv", "/opt", "/var", "@FOLDER@", ".", ".."):
        assert list(os.walk(place)) == [], place
    return x * 0
