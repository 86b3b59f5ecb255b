#!/usr/bin/env bash
# make_root.sh SUITE FOLDER: unpack an arm64 Debian into FOLDER, as far as programs need it: what is essential, apt,
# ca-certificates and python3-venv. No root, no debootstrap: apt finds the packages, and they are unpacked, not configured.
set -euo pipefail
suite=$1 root=$2
work=$root.apt
mkdir -p "$work"/{state/lists/partial,cache/archives/partial} "$root"/usr/{bin,sbin,lib,local/bin}
: >"$work/status"

# The mirror that this machine uses itself; MIRROR= names one where there is none, as on another distribution.
mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' | head -n 1)}
[ "$mirror" ] || { echo 'no Debian mirror in the sources of apt: name one by MIRROR=' >&2; exit 1; }
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$work/sources.list"
cat >"$work/apt.conf" <<EOF
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Dir::State "$work/state";
Dir::State::status "$work/status";
Dir::Cache "$work/cache";
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "/dev/null";
EOF
export APT_CONFIG=$work/apt.conf
apt-get -qq update
apt-get -qq --yes --download-only install '?essential' apt ca-certificates python3-venv

for folder in bin sbin lib; do ln -sfn "usr/$folder" "$root/$folder"; done
for package in "$work"/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink --no-same-owner -C "$root"
done
rm -r "$work"
echo 'root:x:0:0:root:/root:/bin/bash' >"$root/etc/passwd"
# What configuring ca-certificates would do: Debian 13's pip does not start without.
mkdir -p "$root/etc/ssl/certs"
cat "$root"/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
