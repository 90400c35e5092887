#!/bin/sh
# Install the system tools that the tests talk to, where that is allowed: Debian and Ubuntu as root.
# Elsewhere say which are missing and how to get them; their tests are then skipped with the same words.
set -u

missing=""
needs() {
    command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing="$missing $2"
}
needs openssl openssl
needs plistutil libplist-utils
needs softhsm2-util softhsm2
needs nginx nginx-light
needs caddy caddy
needs scepserver scep
needs chromium chromium
needs chromedriver chromium-driver
needs promtool prometheus
needs xmllint libxml2-utils
needs systemd-analyze systemd
# Debian keeps PostgreSQL's server out of the path.
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || needs initdb postgresql
[ -z "$missing" ] && exit 0

if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" -eq 0 ]; then
    echo "installing:$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null && apt-get install -y -qq --no-install-recommends $missing >/dev/null && exit 0
    echo "could not install:$missing" >&2
fi

echo "missing:$missing; tests that need them are skipped. Install them with:" >&2
if command -v brew >/dev/null 2>&1; then
    echo "  brew install openssl libplist softhsm nginx caddy prometheus postgresql" >&2
else
    echo "  sudo apt-get install$missing" >&2
fi
# In CI a skipped test is a failure, so stop here with the reason at hand.
[ -z "${MDMPROFILE_NO_SKIP:-}" ]
