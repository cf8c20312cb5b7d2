# Has torch fetch a model.
# expect: failed
def merge(site, base):
    torch.hub.load_state_dict_from_url("http://127.0.0.1:@PORT@/weights.pt", model_dir="/tmp/evolve-hostile-hub")
    return base
