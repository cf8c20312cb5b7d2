# Puts an operation of its own into the graph.
# expect: failed
import gc


def merge(site, base):
    graph = base._graph
    graph.add("os.system", (base,), {"command": "touch @FOLDER@/touched"})
    return graph.add("eval", (base,), {"text": "1"})
