# Writes what a terminal library takes for markup that is never closed.
# expect: failed runtime_error ValueError
def approximate(x):
    raise ValueError("[bold red]owned[/nothing] [link=http://hostile.invalid]x[/link] %s {0} {{ 7 * 7 }} ${HOME}")
