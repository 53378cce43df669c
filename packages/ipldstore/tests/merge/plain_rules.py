"""The rules of merging (design, section 9) in the plainest way: over dicts of keys, everything looked at."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ipldstore._merge.nodes.parts import VALUE_ATTRIBUTES

Contents = Mapping[str, bytes]

CHUNK = re.compile(r"c(/\d+)+")


def parts_of(contents: Contents) -> dict[tuple[str, ...], Any]:
    """Return the parts into which a merge divides contents, of which only ``zarr.json`` is a document."""
    found: dict[tuple[str, ...], Any] = {}
    for key, value in contents.items():
        if not key.endswith("zarr.json"):
            found[(key,)] = value
            continue
        document = json.loads(value)
        attributes = document.pop("attributes")
        found[(key, "shape")] = document.pop("shape", None)
        own = {name: attributes[name] for name in sorted(attributes) if name in VALUE_ATTRIBUTES}
        found[(key, "metadata")] = (sorted(document.items()), own)
        found |= {(key, "attribute", name): attributes[name] for name in attributes if name not in VALUE_ATTRIBUTES}
    return found


def plain_merge(*each: Contents) -> dict[tuple[str, ...], Any] | None:
    """Return the three-way merge of parts; None where two sides differ from the base and from each other."""
    base, ours, theirs = map(parts_of, each)
    merged = {}
    for part in {*base, *ours, *theirs}:
        was, own, other = base.get(part), ours.get(part), theirs.get(part)
        if own != other and was not in (own, other):
            return None
        value = own if was == other else other
        if value is not None or part[-1] == "shape":
            merged[part] = value
    present = {part[0] for part in merged if part[-1] == "metadata"}
    return {part: value for part, value in merged.items() if part[-1] != "shape" or part[0] in present}


class _Root:
    def __init__(self, contents: Contents) -> None:
        self.contents = contents
        self.parts = parts_of(contents)
        self.documents = {
            key.removesuffix("zarr.json").rstrip("/"): json.loads(value)
            for key, value in contents.items()
            if key.endswith("zarr.json")
        }
        self.kinds = {path: document["node_type"] for path, document in self.documents.items()}

    def below(self, path: str) -> dict[str, bytes]:
        prefix = f"{path}/" if path else ""
        return {key: value for key, value in self.contents.items() if key.startswith(prefix)}

    def chunks(self, path: str) -> dict[str, bytes]:
        return {key: value for key, value in self.below(path).items() if CHUNK.fullmatch(key[len(path) + 1 :])}

    def part(self, path: str, name: str) -> Any:
        return self.parts.get((f"{path}/zarr.json".lstrip("/"), name))


def _changed(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> set[str]:
    return {key for key in {**before, **after} if before.get(key) != after.get(key)}


def has_conflict(base: Contents, ours: Contents, theirs: Contents) -> bool:
    """Return whether the rules let two sides conflict."""
    if ours in (base, theirs) or theirs == base:
        return False
    roots = _Root(base), _Root(ours), _Root(theirs)
    paths = sorted({path for root in roots for path in root.kinds})
    if plain_merge(base, ours, theirs) is None:
        return True
    if any(_rule_3(roots[0], *pair, path) for pair in (roots[1:], roots[:0:-1]) for path in paths):
        return True
    if any(_rule_2(*roots, path) for path in paths):
        return True
    return any(_rule_4(*roots, group) for group in {path.rpartition("/")[0] for path in paths if path})


def _rule_3(base: _Root, side: _Root, other: _Root, path: str) -> bool:
    was, own, its = (root.kinds.get(path) for root in (base, side, other))
    if own in (was, its):
        return False
    if was is not None:
        return bool(_changed(base.below(path), other.below(path)))
    if its is not None:
        return True
    new = [each for each in other.kinds if each.startswith(f"{path}/") and base.kinds.get(each) != other.kinds[each]]
    return own == "array" and bool(new)


def _rule_2(base: _Root, ours: _Root, theirs: _Root, path: str) -> bool:
    kinds = [root.kinds.get(path) for root in (base, ours, theirs)]
    if "array" not in kinds[1:]:
        return False
    is_made_on_both = kinds[1] == kinds[2] != kinds[0]
    was = _Root({}) if is_made_on_both else base
    chunks = {root: root.chunks(path) for root in (base, ours, theirs)}
    changes = {side: _changed(chunks[base], chunks[side]) for side in (ours, theirs)}
    metadata = {side: side.part(path, "metadata") != was.part(path, "metadata") for side in (ours, theirs)}
    shape = {side: side.part(path, "shape") != was.part(path, "shape") for side in (ours, theirs)}
    same = all(ours.part(path, name) == theirs.part(path, name) for name in ("metadata", "shape"))
    if same and chunks[ours] == chunks[theirs]:
        return False
    for side, other in ((ours, theirs), (theirs, ours)):
        if (metadata[side] or shape[side]) and (metadata[other] or shape[other] or changes[other]):
            grown = not metadata[side] and not metadata[other] and _grown(was, side, path)
            if grown and not shape[other] and all(_is_inside(was, grown, path, key) for key in changes[other]):
                continue
            different = _changed(chunks[ours], chunks[theirs])
            if grown and same and all(_is_inside(was, grown, path, key) for key in different):
                continue
            return True
    return False


def _grown(base: _Root, side: _Root, path: str) -> list[int]:
    old, new = base.part(path, "shape"), side.part(path, "shape")
    if old is None or new is None or len(old) != len(new) or any(map(int.__gt__, old, new)):
        return []
    return [axis for axis, (low, high) in enumerate(zip(old, new, strict=True)) if low < high]


def _is_inside(base: _Root, axes: list[int], path: str, key: str) -> bool:
    document = base.documents[path]
    at = [int(number) for number in key[len(path) + 1 :].split("/")[1:]]
    chunks, shape = document["chunk_grid"]["configuration"]["chunk_shape"], document["shape"]
    return len(at) == len(shape) and all((at[axis] + 1) * chunks[axis] <= shape[axis] for axis in axes)


def _rule_4(base: _Root, ours: _Root, theirs: _Root, group: str) -> bool:
    def arrays(root: _Root) -> dict[str, Any]:
        return {
            path: document
            for path, document in root.documents.items()
            if path and path.rpartition("/")[0] == group and document["node_type"] == "array"
        }

    merged = dict(arrays(ours))
    for path in {*arrays(base), *arrays(ours), *arrays(theirs)}:
        was, own, its = (arrays(root).get(path) for root in (base, ours, theirs))
        if own is None or its is None:
            kept = own or its if was is None else (own if its == was else its)
            merged.pop(path, None)
            if kept is not None and (was is None or (own is None) == (was == own)):
                merged[path] = kept
        elif was is None or own["shape"] == was["shape"]:
            merged[path] = its
    names = {name for root in (ours, theirs) for each in arrays(root).values() for name in each["dimension_names"]}
    for name in names:
        lengths = [
            {
                size
                for document in each.values()
                for own, size in zip(document["dimension_names"], document["shape"], strict=False)
                if own == name
            }
            for each in (arrays(ours), arrays(theirs), merged)
        ]
        if len(lengths[0]) == len(lengths[1]) == 1 and len(lengths[2]) == 2:
            return True
        path = f"{group}/{name}".lstrip("/")
        for side, other in ((ours, theirs), (theirs, ours)):
            if _is_rewritten(base, side, path, name) and not _is_touched(base, other, path):
                for each, document in arrays(other).items():
                    is_new = each not in arrays(base) or _changed(base.chunks(each), other.chunks(each))
                    if each != path and name in document["dimension_names"] and is_new:
                        return True
    return False


def _is_rewritten(base: _Root, side: _Root, path: str, name: str) -> bool:
    document = base.documents.get(path, {})
    if document.get("node_type") != "array" or document["dimension_names"] != [name]:
        return False
    if side.kinds.get(path) != "array":
        return True
    return bool(_changed(base.chunks(path), side.chunks(path))) and not _grown(base, side, path)


def _is_touched(base: _Root, side: _Root, path: str) -> bool:
    return (
        side.kinds.get(path) != "array"
        or bool(_changed(base.chunks(path), side.chunks(path)))
        or bool(_grown(base, side, path))
    )
