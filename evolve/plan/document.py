"""Reads plan documents from untrusted text: only types are checked here, meaning in ``evolve.plan.validate``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from evolve.errors import InvalidPlan
from evolve.plan.plan import MERGED, VERSION, Gather, Node, Plan, SitePlan, StackEntry, Template
from evolve.plan.specs import INTEGER_LIMIT

MAX_TEXT_BYTES = 32 * 2**20
MAX_NAME_CHARACTERS = 512
# Run databases keep plans of version 1, which is version 2 without the sites' gathers.
READABLE_VERSIONS = (1, VERSION)


def parse_plan(text: str | bytes) -> Plan:
    """The plan in a JSON text; raises InvalidPlan, and nothing else, on any text that holds none."""
    if len(text) > MAX_TEXT_BYTES:
        raise InvalidPlan(f"the plan's text has {len(text)} characters; at most {MAX_TEXT_BYTES} are read")
    try:
        data = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except RecursionError:
        raise InvalidPlan("the plan's text is nested too deeply") from None
    except ValueError as error:
        raise InvalidPlan(f"the plan's text is not JSON: {str(error)[:200]}") from None
    return read_plan(data)


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidPlan(f"the plan's text holds {name}; only finite numbers are allowed")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise InvalidPlan(f"the plan's text repeats a key among {_brief([key for key, _ in pairs])}")
    return result


def _brief(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."


def read_plan(data: object) -> Plan:
    """The plan in a parsed document; raises InvalidPlan naming the part that is wrong."""
    document = _fields(data, ("version", "donors", "templates", "sites", "stack"), "the plan")
    version = document["version"]
    if type(version) is not int or version not in READABLE_VERSIONS:
        raise InvalidPlan(f"plan version {_brief(version)} is none of {', '.join(map(str, READABLE_VERSIONS))}")
    donors = tuple(_name(donor, "a donor") for donor in _list(document["donors"], "donors"))
    if list(donors) != sorted(set(donors)) or MERGED in donors:
        raise InvalidPlan(f"donors {_brief(donors)} must be sorted, distinct and not {MERGED!r}")
    templates = tuple(
        _template(entry, f"templates[{index}]") for index, entry in enumerate(_list(document["templates"], "templates"))
    )
    read_site = _site if version == VERSION else _site_without_gathers
    sites = tuple(read_site(entry, f"sites[{index}]") for index, entry in enumerate(_list(document["sites"], "sites")))
    slots = [_slot_count(template) for template in templates]
    for site in sites:
        _check_values(site, slots, f"site {site.name!r}")
        for gather in site.gathers:
            _check_values(gather, slots, f"site {site.name!r}, gather {gather.name!r}")
    stack = document["stack"]
    if stack is not None:
        stack = tuple(_stack_entry(entry, f"stack[{index}]") for index, entry in enumerate(_list(stack, "stack")))
    return Plan(donors, templates, sites, stack)


def _check_values(part: SitePlan | Gather, slots: Sequence[int], where: str) -> None:
    if not 0 <= part.template < len(slots):
        raise InvalidPlan(f"{where}: template {part.template} of {len(slots)} does not exist")
    if len(part.values) != slots[part.template]:
        raise InvalidPlan(f"{where}: {len(part.values)} values for {slots[part.template]} slots")


def _slot_count(template: Template) -> int:
    slots: list[Any] = [dict(node.attributes)["slot"] for node in template.nodes if node.op == "value"]
    return max(slots, default=-1) + 1


def _fields(data: object, names: tuple[str, ...], where: str) -> Mapping[str, Any]:
    if not isinstance(data, Mapping) or set(data) != set(names):
        found = sorted(map(str, data)) if isinstance(data, Mapping) else data
        raise InvalidPlan(f"{where} must be an object with {', '.join(names)}, not {_brief(found)}")
    return data


def _list(data: object, where: str) -> list[Any]:
    if not isinstance(data, list):
        raise InvalidPlan(f"{where} must be a list, not {_brief(data)}")
    return data


def _integer(data: object, where: str) -> int:
    if type(data) is not int or abs(data) >= INTEGER_LIMIT:
        raise InvalidPlan(f"{where} must be an integer of 64 bits, not {_brief(data)}")
    return data


def _number(data: object, where: str) -> bool | int | float:
    if type(data) is bool:
        return data
    if type(data) is float and math.isfinite(data):
        return data
    if type(data) is int and abs(data) < INTEGER_LIMIT:
        return data
    raise InvalidPlan(f"{where} must be a finite number of 64 bits, not {_brief(data)}")


def _name(data: object, where: str) -> str:
    if not isinstance(data, str) or not 0 < len(data) <= MAX_NAME_CHARACTERS or not data.isprintable():
        raise InvalidPlan(f"{where} must be a printable name, not {_brief(data)}")
    return data


def _shape(data: object, where: str) -> tuple[int, ...]:
    shape = tuple(_integer(size, where) for size in _list(data, where))
    if any(size < 0 for size in shape):
        raise InvalidPlan(f"{where} must hold sizes, not {_brief(shape)}")
    return shape


def _template(data: object, where: str) -> Template:
    fields = _fields(data, ("nodes", "output"), where)
    nodes = _list(fields["nodes"], f"{where}.nodes")
    output = _integer(fields["output"], f"{where}.output")
    if not 0 <= output < len(nodes):
        raise InvalidPlan(f"{where}: output {output} is none of {len(nodes)} nodes")
    return Template(tuple(_node(node, index, f"{where}.nodes[{index}]") for index, node in enumerate(nodes)), output)


def _node(data: object, index: int, where: str) -> Node:
    parts = _list(data, where)
    if len(parts) != 3 or not isinstance(parts[0], str) or not isinstance(parts[2], Mapping):
        raise InvalidPlan(f"{where} must be [operation, inputs, attributes], not {_brief(data)}")
    inputs = tuple(_integer(source, f"{where}: input") for source in _list(parts[1], f"{where}: inputs"))
    if any(not 0 <= source < index for source in inputs):
        raise InvalidPlan(f"{where}: inputs {_brief(inputs)} must be earlier nodes")
    _name(parts[0], f"{where}: the operation")
    attributes = tuple(sorted((_name(name, where), _attribute(value, where)) for name, value in parts[2].items()))
    if parts[0] == "value":
        slot = dict(attributes).get("slot")
        if len(attributes) != 1 or type(slot) is not int or slot < 0:
            raise InvalidPlan(f"{where}: a value needs a slot number, not {_brief(parts[2])}")
    return Node(parts[0], inputs, attributes)


def _attribute(value: object, where: str) -> Any:
    if value is None:
        return None
    if isinstance(value, str):
        return _name(value, f"{where}: an attribute")
    if isinstance(value, list):
        return tuple(_number(item, f"{where}: attribute item") for item in value)
    return _number(value, f"{where}: attribute")


def _site(data: object, where: str) -> SitePlan:
    fields = _fields(data, ("name", "shape", "template", "values", "gathers"), where)
    gathers = tuple(
        _gather(entry, f"{where}.gathers[{index}]")
        for index, entry in enumerate(_list(fields["gathers"], f"{where}.gathers"))
    )
    names = [gather.name for gather in gathers]
    if names != sorted(set(names)):
        raise InvalidPlan(f"{where}: the names of gathers {_brief(names)} must be sorted and distinct")
    return SitePlan(
        _name(fields["name"], f"{where}.name"),
        _shape(fields["shape"], f"{where}.shape"),
        _integer(fields["template"], f"{where}.template"),
        _values(fields["values"], f"{where}.values"),
        gathers,
    )


def _site_without_gathers(data: object, where: str) -> SitePlan:
    fields = _fields(data, ("name", "shape", "template", "values"), where)
    return _site({**fields, "gathers": []}, where)


def _gather(data: object, where: str) -> Gather:
    fields = _fields(data, ("name", "template", "values"), where)
    return Gather(
        _name(fields["name"], f"{where}.name"),
        _integer(fields["template"], f"{where}.template"),
        _values(fields["values"], f"{where}.values"),
    )


def _values(data: object, where: str) -> tuple[bool | int | float, ...]:
    return tuple(_number(value, where) for value in _list(data, where))


def _stack_entry(data: object, where: str) -> StackEntry:
    fields = _fields(data, ("model", "layer", "scale"), where)
    scale = _number(fields["scale"], f"{where}.scale")
    return StackEntry(_name(fields["model"], where), _integer(fields["layer"], f"{where}.layer"), float(scale))
