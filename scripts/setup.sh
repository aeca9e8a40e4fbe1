#!/usr/bin/env bash
# Installs what Lifeboat builds with and what its tests and its lab run: Debian 12 packages, nothing else.
# Idempotent: it asks dpkg what is missing and installs just that; what is installed is never touched or upgraded.
# Servers (PostgreSQL, Knot DNS) are installed without being started, enabled, or given a cluster of their own.
set -euo pipefail

build=(g++ cmake ninja-build make pkg-config git
  libboost1.81-dev libcurl4-openssl-dev libpq-dev libldns-dev nlohmann-json3-dev libyaml-cpp-dev libsqlite3-dev
  libsqlitecpp-dev libssl-dev postgresql-server-dev-15 libkrb5-dev libcli11-dev libspdlog-dev prometheus-cpp-dev libgtest-dev libgmock-dev spin
  zlib1g-dev libexpat1-dev liblz4-dev libzstd-dev libbz2-dev)
run=(python3 python3-venv lz4 zstd bzip2 gzip postgresql-15 pgbackrest postgresql-client-15 knot knot-dnsutils etcd-server etcd-client openssl util-linux procps iproute2 nftables ca-certificates)
servers=(postgresql.service knot.service etcd.service)

missing=()
for package in "${build[@]}" "${run[@]}"; do
  dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  exit 0
fi

if [ "$(id -u)" -eq 0 ]; then
  as_root=()
elif command -v sudo >/dev/null 2>&1; then
  as_root=(sudo)
else
  echo "setup: ${#missing[@]} packages are missing, and this user is not root and has no sudo" >&2
  echo "  hint: have an administrator run: apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi
echo "setup: installing ${#missing[@]} missing packages: ${missing[*]}"

# libboost1.81-dev and the unversioned libboost-dev (1.74) own the same headers: apt would remove one for the other.
if dpkg-query -W -f='${db:Status-Status}\n' libboost1.74-dev 2>/dev/null | grep -qx installed &&
  printf '%s\n' "${missing[@]}" | grep -qx libboost1.81-dev; then
  echo "setup: libboost1.74-dev is installed, and libboost1.81-dev cannot stand beside it" >&2
  echo "  hint: remove it first, if nothing else needs it: apt-get remove libboost1.74-dev" >&2
  exit 1
fi

undo=()
restore() { for step in "${undo[@]}"; do eval "$step"; done; }
trap restore EXIT

# invoke-rc.d asks this file before it starts a service; 101 means "not allowed". It stands only while we install.
if [ ! -e /usr/sbin/policy-rc.d ]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee /usr/sbin/policy-rc.d >/dev/null
  "${as_root[@]}" chmod 755 /usr/sbin/policy-rc.d
  undo+=('"${as_root[@]}" rm -f /usr/sbin/policy-rc.d')
fi

# The server package creates a cluster on installation unless told not to; where the machine already has
# postgresql-common, that is its owner's choice and stays as it is.
if ! dpkg-query -W -f='${db:Status-Status}\n' postgresql-common 2>/dev/null | grep -qx installed; then
  "${as_root[@]}" mkdir -p /etc/postgresql-common/createcluster.d
  echo 'create_main_cluster = false' | "${as_root[@]}" tee /etc/postgresql-common/createcluster.d/lifeboat.conf >/dev/null
fi

# Only services that arrive now are disabled again; one that was there before keeps its state.
new_services=()
for unit in "${servers[@]}"; do
  [ -e "/lib/systemd/system/$unit" ] || new_services+=("$unit")
done

export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
undo+=("rm -f '$log'")
apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1 ||
    { tail -n 30 "$log" >&2; echo "setup: 'apt-get $1' failed; its last lines are above" >&2; exit 1; }
}
apt update
apt install -y --no-install-recommends --no-upgrade "${missing[@]}"

for unit in "${new_services[@]}"; do
  if command -v systemctl >/dev/null 2>&1; then
    "${as_root[@]}" systemctl disable "$unit" >/dev/null 2>&1 || true  # works offline too: it only removes the link
  fi
done
echo "setup: done"
