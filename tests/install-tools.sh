#!/bin/sh
# Install the system tools that the tests talk to, where that is allowed: Debian and Ubuntu as root.
# Elsewhere say which are missing and how to get them; their tests are then skipped with the same words.
set -u

missing=""
command -v openssl >/dev/null 2>&1 || missing="$missing openssl"
command -v plistutil >/dev/null 2>&1 || missing="$missing libplist-utils"
command -v softhsm2-util >/dev/null 2>&1 || missing="$missing softhsm2"
[ -z "$missing" ] && exit 0

if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" -eq 0 ]; then
    echo "installing:$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null && apt-get install -y -qq --no-install-recommends $missing >/dev/null && exit 0
    echo "could not install:$missing" >&2
fi

echo "missing:$missing; tests that need them are skipped. Install them with:" >&2
if command -v brew >/dev/null 2>&1; then
    echo "  brew install openssl libplist softhsm" >&2
else
    echo "  sudo apt-get install$missing" >&2
fi
# In CI a skipped test is a failure, so stop here with the reason at hand.
[ -z "${MDMPROFILE_NO_SKIP:-}" ]
