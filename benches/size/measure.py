#!/usr/bin/env python3
"""Builds the servers, each alone, and prints what sessions add to them. `--top PROGRAM` lists the largest functions of
http-session in one of them; `--profile small` builds for size."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
OURS = "http-session"
# Programs, with their features.
PROGRAMS = {"bare": "", "inserted": OURS, "signed": OURS, "encrypted": OURS, "memory": "memory"}
# What `copies` is built with twice, without and with the last feature, and how many copies that one makes.
COPIES = {
    "handler with a session": ("handlers", "", 2),
    "layer over another service": ("services", "", 2),
    "layer over another service and response body": ("services", "bodies", 2),
    "type of a value": ("types", "", 4),
}
# Crates that are told apart. hashlink comes with hashbrown, which `http` uses through the standard library only.
GROUPS = {
    "http_session": OURS,
    "ring": "ring",
    "ring_core": "ring",
    "base64_simd": "base64-simd",
    "vsimd": "base64-simd",
    "serde_json": "serde_json",
    "hashlink": "hashlink",
    "hashbrown": "hashlink",
}
COLUMNS = [OURS, "ring", "base64-simd", "serde_json", "hashlink", "everything else"]


def run(*command, **more):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **more).stdout


def build(program, features, profile):
    """The path of a program that was built with nothing but these features."""
    # The new symbol names say for which types a generic function was made.
    environment = {**os.environ, "RUSTFLAGS": "-C symbol-mangling-version=v0"}
    target = Path(os.environ.get("CARGO_TARGET_DIR", HERE / "target"))
    command = ["cargo", "build", "--locked", "--quiet", "--profile", profile, "--bin", program]
    run(*command, "--features", features, "--target-dir", target, cwd=HERE, env=environment)
    return target / profile / program


def stripped(path):
    """Bytes of the executable without symbols."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "stripped"
        run("strip", "--strip-all", "-o", copy, path)
        return copy.stat().st_size


def functions(path):
    """Name and size of every function."""
    for line in run("nm", "--demangle", "--print-size", "--size-sort", path).splitlines():
        _, size, kind, name = line.split(" ", 3)
        if kind in "tTwW":
            yield name, int(size, 16)


def group(name, program):
    """Whose a function is. Of http-session: what it wrote, and what the standard library's generic functions became for its
    types. What was made of hashlink for such types is hashlink's, and what was inlined elsewhere is the other's."""
    crates = re.findall(r"(?<![:\w])([A-Za-z_]\w*)::", name)
    first = crates[0] if crates else re.match(r"ring_core|\w*", name).group()
    if program in crates:
        return "everything else"
    if first == "http_session":
        return OURS
    groups = [GROUPS[crate] for crate in [first, *crates] if GROUPS.get(crate, OURS) != OURS]
    if groups:
        return groups[0]
    others = set(crates) - {"http_session", "core", "alloc", "std", "http"}
    return OURS if "http_session" in crates and not others & {"axum", "axum_core", "tower", "hyper"} else "everything else"


def by_group(path):
    sizes = Counter()
    for name, size in functions(path):
        sizes[group(name, path.name)] += size
    return sizes


def number(value):
    return f"{value:,}" if value else ""


def programs(profile):
    print(f"| {profile} | executable | more than `bare` | functions of " + " | ".join(COLUMNS) + " |")
    print("|---|" + "--:|" * (2 + len(COLUMNS)))
    bare = None
    for program, features in PROGRAMS.items():
        path = build(program, features, profile)
        size, groups = stripped(path), by_group(path)
        bare = bare or (size, groups)
        cells = [number(size), number(size - bare[0])]
        cells += [number(groups[column] - bare[1][column]) for column in COLUMNS]
        print(f"| `{program}` | " + " | ".join(cells) + " |", flush=True)


def copies(profile):
    """A copy's cost is all executable code: what was inlined into somebody else's function counts too."""
    print("\n| one more | executable code |")
    print("|---|--:|")
    for name, (feature, others, count) in COPIES.items():
        sizes = []
        for features in [f"{OURS} {others}", f"{OURS} {others} {feature}"]:
            sizes.append(by_group(build("copies", features, profile)).total())
        print(f"| {name} | {number((sizes[1] - sizes[0]) // count)} |", flush=True)


def top(program, profile):
    features = PROGRAMS.get(program, f"{OURS} handlers services types")
    path = build(program, features, profile)
    ours = [(size, name) for name, size in functions(path) if group(name, program) == OURS]
    for size, name in sorted(ours, reverse=True)[:25]:
        print(f"{size:8,}  {name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="release", choices=["release", "small"])
    parser.add_argument("--top", choices=[*PROGRAMS, "copies"], metavar="PROGRAM")
    arguments = parser.parse_args()
    for tool in ["cargo", "nm", "strip"]:
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: get it with rustup (cargo), or with the package binutils (nm, strip)")
    try:
        if arguments.top:
            top(arguments.top, arguments.profile)
        else:
            programs(arguments.profile)
            copies(arguments.profile)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(map(str, error.cmd))} failed")


if __name__ == "__main__":
    main()
