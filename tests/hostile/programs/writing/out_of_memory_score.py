# Makes itself the last that the machine would end when memory runs out.
# expect: failed runtime_error PermissionError
def approximate(x):
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("-1000")
    return x
