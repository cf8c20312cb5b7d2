# Renames the donor of its graph to a path.
# expect: failed invalid_plan|recipe
from evolve.plan.plan import Node


def merge(site, base):
    graph = base._graph
    for name, value in list(vars(graph).items()):
        if isinstance(value, list):
            for place, node in enumerate(value):
                if isinstance(node, Node) and node.op == "donor":
                    value[place] = Node("donor", (), (("name", "/etc/passwd"),))
    return base * 1.5
