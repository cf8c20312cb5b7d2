# Never finishes being loaded.
# expect: failed timeout SandboxTimeout
while True:
    pass
