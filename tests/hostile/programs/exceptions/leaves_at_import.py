# Leaves while it is being loaded.
# expect: failed crash SystemExit
raise SystemExit("score = 1.0")
