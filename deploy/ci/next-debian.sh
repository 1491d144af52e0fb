#!/usr/bin/env bash
# next-debian.sh PACKAGE FOLDER: the files of a package of Debian 13 (trixie), into a folder; nothing is installed.
set -euo pipefail
package=$1 folder=$(realpath -m "$2")
work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$folder"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $("$(dirname "$0")/mirror.sh") trixie main" \
  >"$work/sources.list"
apt=(apt-get -qq -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::Cache=$work/cache"
  -o "Dir::State::lists=$work/lists" -o APT::Sandbox::User=root)
"${apt[@]}" update
cd "$work"
"${apt[@]}" download "$package"
dpkg -x "$package"_*.deb "$folder"
