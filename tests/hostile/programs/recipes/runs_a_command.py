# Runs another program.
# expect: failed recipe PermissionError
import subprocess


def merge(site, base):
    subprocess.run(["/bin/sh", "-c", "touch @FOLDER@/touched"], check=True)
    return base
