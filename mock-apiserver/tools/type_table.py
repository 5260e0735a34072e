#!/usr/bin/env python3
"""Writes src/types/messages.txt: the fields of the built-in kinds with their numbers, JSON names, types and markers.

Usage: type_table.py GO_MODULE_DIR VERSION, where GO_MODULE_DIR holds api@VERSION, apimachinery@VERSION and
apiextensions-apiserver@VERSION of k8s.io (`go mod download` puts them there).

Numbers come from generated.proto; JSON names, embedding, Go types, omission of zero values and the markers (`+listType`,
`+optional`, `+default`, `+enum` and their like) from the Go files beside it. src/types/table.rs describes the format.
"""
import json
import pathlib
import re
import sys

ROOT, VERSION = pathlib.Path(sys.argv[1]), sys.argv[2]
API, MACHINERY, EXTENSIONS = (ROOT / f"{name}@{VERSION}" for name in ("api", "apimachinery", "apiextensions-apiserver"))
GROUPS = (
    "core apps batch coordination discovery events networking policy rbac scheduling node storage "
    "admissionregistration authentication authorization autoscaling certificates flowcontrol"
).split()
SCALARS = {"string": "s", "bool": "b", "int32": "n", "int64": "i", "bytes": "y", "double": "d", "uint32": "n", "uint64": "i"}
FIELD = re.compile(r"^\s*(optional|repeated)\s+([.\w]+)\s+(\w+) = (\d+);")
MAP_FIELD = re.compile(r"^\s*map<string,\s*([.\w]+)>\s+(\w+) = (\d+);")
GO_FIELD = re.compile(r'^\s*(?:(\w+)\s+)?([*\[\]\w.]+)\s+`(.*json:"([^"]*)".*protobuf:".*)`')
CONSTANT = re.compile(r'^\s*(?:const\s+)?\w+\s+(\w+)\s*=\s*"([^"]*)"')


class Package:
    """What the Go files of a package say: fields, named types, enumerations and atomic structs."""

    def __init__(self, folder):
        self.fields, self.named, self.enums, self.atomic = {}, set(), {}, set()
        constants = {}
        for path in sorted(folder.glob("*.go")):
            if not path.name.endswith("_test.go"):
                self.read(path.read_text(), constants)
        self.enums = {name: sorted(set(constants.get(name, []))) for name in self.enums}

    def read(self, text, constants):
        struct, comments = None, []
        for line in text.splitlines():
            stripped = line.strip()
            if stripped.startswith("//"):
                comments.append(stripped[2:].strip())
                continue
            if found := re.match(r"^type (\w+) struct", line):
                struct = found[1]
                if "+structType=atomic" in comments:
                    self.atomic.add(struct)
            elif found := re.match(r"^type (\w+) (string|map\[\w+\][\w.]+|\[\]\w+)$", line):
                self.named.add(found[1])
                if "+enum" in comments:
                    self.enums[found[1]] = []
            elif line.startswith("}"):
                struct = None
            elif struct and (found := GO_FIELD.match(line)):
                name = re.search(r'protobuf:"[^"]*name=(\w+)', line)
                name = name[1] if name else found[2][0].lower() + found[2][1:]
                self.fields[struct, name] = (found[2], found[4], found[3], comments)
            elif found := CONSTANT.match(line):
                constants.setdefault(found[1], []).append(found[2])
            if stripped or struct is None:
                comments = []


def kind_of(name, package):
    if name in SCALARS:
        return SCALARS[name]
    name = name.lstrip(".")
    return name if "." in name else f"{package}.{name}"


def flags_of(go_type, tag, tags, comments, prefix, package, go, is_message):
    """The flags of a field; see table.rs."""
    omits = "omitempty" in tag
    pointer = go_type.startswith("*")
    if omits and not pointer and not prefix:
        yield "z"
    if not omits and "+optional" not in comments:
        yield "r"
    if not omits if prefix else is_message and not pointer:
        yield "v"
    item = go_type.lstrip("*").removeprefix("[]").lstrip("*")
    if item in go.named or "." in item and item.split(".")[-1] in {"UID", "ResourceList", "NamespacedName", "NodeName"}:
        yield f"t={package}.{item}" if "." not in item else f"t={item}"
    markers = dict(line[1:].split("=", 1) for line in comments if line.startswith("+") and "=" in line)
    keys = [line.split("=", 1)[1] for line in comments if line.startswith("+listMapKey=")]
    if list_type := markers.get("listType"):
        yield "l=" + (",".join(keys) if list_type == "map" else list_type.upper())
    if "atomic" in (markers.get("mapType"), markers.get("structType")):
        yield "a"
    strategy, key = re.search(r'patchStrategy:"([^"]*)"', tags), re.search(r'patchMergeKey:"([^"]*)"', tags)
    if strategy:
        yield f"p={strategy[1]}:{key[1] if key else ''}"
    if (default := markers.get("default")) and not default.startswith("ref("):
        yield "d=" + json.dumps(json.loads(default), separators=(",", ":")).replace(" ", "\\u0020")


def messages(path):
    text = path.read_text()
    package = re.search(r"^package ([\w.]+);", text, re.M)[1]
    go = Package(path.parent)
    message = None
    for line in text.splitlines():
        if found := re.match(r"^message (\w+)", line):
            message = found[1]
            yield f"{package}.{message}" + (" a" if message in go.atomic else "")
            continue
        if found := MAP_FIELD.match(line):
            kind, name, number, prefix = found[1], found[2], found[3], "%"
        elif found := FIELD.match(line):
            kind, name, number = found[2], found[3], found[4]
            prefix = "*" if found[1] == "repeated" else ""
        else:
            continue
        known = (message, name) in go.fields
        go_type, tag, tags, comments = go.fields.get((message, name), ("", name, "", ["+optional"]))
        json_name = tag.partition(",")[0]
        json_name = "-" if known and not json_name else json_name or name
        flags = flags_of(go_type, tag, tags, comments, prefix, package, go, kind not in SCALARS)
        yield " ".join([f" {number} {json_name} {prefix}{kind_of(kind, package)}", *flags])
    for name, values in sorted(go.enums.items()):
        if values:
            yield f"={package}.{name} {'|'.join(values)}"


def main():
    paths = [API / group / "v1" / "generated.proto" for group in GROUPS]
    paths += [
        API / "autoscaling/v2/generated.proto",
        EXTENSIONS / "pkg/apis/apiextensions/v1/generated.proto",
        MACHINERY / "pkg/apis/meta/v1/generated.proto",
        MACHINERY / "pkg/runtime/generated.proto",
        MACHINERY / "pkg/api/resource/generated.proto",
        MACHINERY / "pkg/util/intstr/generated.proto",
    ]
    lines = [line for path in paths for line in messages(path)]
    out = pathlib.Path(__file__).parent.parent / "src/types/messages.txt"
    text = "\n".join(lines).replace("k8s.io.apimachinery.pkg.apis.meta.v1", "meta").replace("k8s.io.api.", "")
    text = text.replace("k8s.io.apiextensions_apiserver.pkg.apis.", "")
    out.write_text(text.replace("k8s.io.apimachinery.pkg.", "") + "\n")


main()
