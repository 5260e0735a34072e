#!/usr/bin/env python3
"""Writes src/protobuf/messages.txt: the field numbers and JSON names of the built-in kinds.

Usage: proto_table.py GO_MODULE_DIR, where GO_MODULE_DIR holds api@VERSION and apimachinery@VERSION of k8s.io.

Numbers come from generated.proto, JSON names, embedding and omission of zero values from the struct tags in the Go files beside it.
"""
import glob
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1])
API = sorted(ROOT.glob("api@*"))[-1]
MACHINERY = sorted(ROOT.glob("apimachinery@*"))[-1]
GROUPS = (
    "core apps batch coordination discovery events networking policy rbac scheduling node storage "
    "admissionregistration authentication authorization autoscaling"
).split()
SCALARS = {"string": "s", "bool": "b", "int32": "i", "int64": "i", "bytes": "y", "double": "d", "uint32": "i", "uint64": "i"}
FIELD = re.compile(r"^\s*(optional|repeated|map<string,\s*[.\w]+>)\s*([.\w]+)?\s+(\w+) = (\d+);")
MAP_FIELD = re.compile(r"^\s*map<string,\s*([.\w]+)>\s+(\w+) = (\d+);")
GO_TAG = re.compile(r'^\s*(?:(\w+)\s+)?([*\[\]\w.]+)\s+`.*json:"([^"]*)".*protobuf:"')


def go_tags(folder):
    """(struct, proto name) -> (Go type, JSON tag)."""
    tags = {}
    for path in folder.glob("*.go"):
        struct = None
        for line in path.read_text().splitlines():
            if found := re.match(r"^type (\w+) struct", line):
                struct = found[1]
            elif line.startswith("}"):
                struct = None
            elif struct and (found := GO_TAG.match(line)):
                name = re.search(r'protobuf:"[^"]*name=(\w+)', line)
                name = name[1] if name else found[2][0].lower() + found[2][1:]
                tags[struct, name] = (found[2], found[3])
    return tags


def kind_of(name, package):
    if name in SCALARS:
        return SCALARS[name]
    name = name.lstrip(".")
    return name if "." in name else f"{package}.{name}"


def messages(path):
    text = path.read_text()
    package = re.search(r"^package ([\w.]+);", text, re.M)[1]
    tags = go_tags(path.parent)
    message = None
    for line in text.splitlines():
        if found := re.match(r"^message (\w+)", line):
            message = found[1]
            yield f"{package}.{message}"
            continue
        if found := MAP_FIELD.match(line):
            kind, name, number, prefix = found[1], found[2], found[3], "%"
        elif found := FIELD.match(line):
            kind, name, number = found[2], found[3], found[4]
            prefix = "*" if found[1] == "repeated" else ""
        else:
            continue
        go_type, tag = tags.get((message, name), ("", name))
        json_name, _, options = tag.partition(",")
        embedded = (message, name) in tags and not json_name
        json_name = "-" if embedded else json_name or name
        zero = " z" if "omitempty" in options and not go_type.startswith("*") and not prefix else ""
        yield f" {number} {json_name} {prefix}{kind_of(kind, package)}{zero}"


def main():
    paths = [API / group / "v1" / "generated.proto" for group in GROUPS]
    paths += [
        MACHINERY / "pkg/apis/meta/v1/generated.proto",
        MACHINERY / "pkg/runtime/generated.proto",
        MACHINERY / "pkg/api/resource/generated.proto",
        MACHINERY / "pkg/util/intstr/generated.proto",
    ]
    lines = [line for path in paths for line in messages(path)]
    out = pathlib.Path(__file__).parent.parent / "src/protobuf/messages.txt"
    text = "\n".join(lines).replace("k8s.io.apimachinery.pkg.apis.meta.v1", "meta").replace("k8s.io.api.", "")
    out.write_text(text.replace("k8s.io.apimachinery.pkg.", "") + "\n")


main()
