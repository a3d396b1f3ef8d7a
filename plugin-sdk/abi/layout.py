#!/usr/bin/env python3
"""Writes what a header of the ABI promises as static assertions: layout.py HEADER > layout.h.

Every offset and size of a field, the size of every structure, and the value of every number. On x86-64 and other LP64
machines; the assertions hold for the header they were made from and must hold for all that come after it.
"""

import pathlib
import re
import subprocess
import sys
import tempfile


def without_comments(text):
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


def structures(text):
    """Pairs of a structure's name and the names of its fields, in order."""
    for name, body in re.findall(r"^struct (noctule_\w+) \{\n(.*?)^\};", text, flags=re.S | re.M):
        fields = []
        for declaration in body.split(";"):
            declaration = " ".join(declaration.split())
            if not declaration:
                continue
            function = re.search(r"\(\*(\w+)\)\(", declaration)
            fields.append(function.group(1) if function else re.search(r"(\w+)(\[\w+\])?$", declaration).group(1))
        yield name, fields


def numbers(text):
    """Names of the macros that stand for numbers."""
    return [name for name in re.findall(r"^#define (NOCTULE_\w+)\s+\(?-?\w+\)?$", text, flags=re.M)
            if not name.startswith("NOCTULE_ABI_M") and name not in ("NOCTULE_C_LINKAGE",)]


def values(header, expressions):
    """What the compiler makes of the expressions."""
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "values.c")
        lines = "".join(f'    printf("%lld\\n", (long long)({expression}));\n' for expression in expressions)
        source.write_text(f'#include "{pathlib.Path(header).resolve()}"\n#include <stdio.h>\n\n'
                          f"int main(void)\n{{\n{lines}    return 0;\n}}\n")
        program = pathlib.Path(folder, "values")
        subprocess.run(["gcc", "-std=c11", "-o", program, source], check=True)
        return subprocess.run([program], check=True, capture_output=True, text=True).stdout.split()


def main(header):
    text = without_comments(pathlib.Path(header).read_text())
    text = "\n".join(line.rstrip() for line in text.splitlines())
    facts = []
    for name, fields in structures(text):
        for field in fields:
            facts.append(("field", name, field))
        facts.append(("size", name, fields[-1]))
    facts += [("number", name, None) for name in numbers(text)]
    expressions = []
    for kind, name, field in facts:
        if kind == "field":
            expressions += [f"offsetof(struct {name}, {field})", f"sizeof(((struct {name} *)0)->{field})"]
        elif kind == "size":
            expressions.append(f"sizeof(struct {name})")
        else:
            expressions.append(name)
    found = iter(values(header, expressions))
    print("/* Made by `freeze` from the released header; never changed by hand. */")
    for kind, name, field in facts:
        if kind == "field":
            print(f"FIELD({name}, {field}, {next(found)}, {next(found)})")
        elif kind == "size":
            print(f"SIZE({name}, {next(found)})")
        else:
            print(f"NUMBER({name}, {next(found)})")


if __name__ == "__main__":
    main(sys.argv[1])
