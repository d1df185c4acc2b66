#!/bin/sh
# Compile requirements/*.txt from pyproject.toml: for Linux and macOS, x86-64 and arm64, from
# Python 3.11. Called by `make lock`.
#
# constraints.txt is the resolution of everything together. The layers are cut from it, so that an
# environment can grow from serving to training to development without a version changing.
# Pins that still fit are kept; `make lock UPGRADE=1` takes the newest of everything.
set -eu

uv=$1
upgrade=${2:+--upgrade}

compile() {
    output=$1
    shift
    # shellcheck disable=SC2086  # $upgrade is one word or none
    "$uv" pip compile pyproject.toml --universal --python-version 3.11 --no-emit-index-url \
        --no-header --quiet $upgrade --output-file "$output" "$@"
    echo "$output: $(grep -c '==' "$output") packages"
}

layer() {
    output=requirements/$1.txt
    shift
    compile "$output" --generate-hashes --constraints requirements/constraints.txt "$@"
}

compile requirements/constraints.txt --all-extras --group build --no-annotate
layer cpu --extra cpu --group build
layer tensorflow-cpu --extra tensorflow-cpu --group build
layer gpu --extra gpu --group build
layer samples --extra samples --group build
layer tracing --extra tracing --group build
layer train --extra train --group build
layer dev --extra dev --group build
layer fuzz --extra fuzz --group build
