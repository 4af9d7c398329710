#!/bin/sh
# Installs the packages named as arguments (as root). Their services are neither started now nor
# enabled for the next boot.
set -eu

policy=/usr/sbin/policy-rc.d
wants=/etc/systemd/system/multi-user.target.wants

# An existing policy (containers have one) is kept.
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    printf '#!/bin/sh\n# Only while "cargo xtask setup" installs packages: start nothing.\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

enabled() {
    for unit in "$wants"/*.service; do
        if [ -L "$unit" ]; then basename "$unit"; fi
    done
}

before=$(enabled)
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"
for unit in $(enabled); do
    if ! printf '%s\n' "$before" | grep -qxF "$unit"; then
        echo "disabling $unit, which its package enabled"
        systemctl --quiet disable "$unit" 2>/dev/null || rm -f "$wants/$unit"
    fi
done
