# Has torch compile and load native code.
# expect: failed
def merge(site, base):
    from torch.utils.cpp_extension import load_inline

    load_inline("hostile", cpp_sources="int f() { return 1; }", functions=["f"])
    return base
