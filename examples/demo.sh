#!/bin/sh
# A tour of the main job with a throwaway PKI: build a profile, look at it, and see what a date does.
# usage: demo.sh MDMPROFILE DIRECTORY
set -eu
mdmprofile=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
directory=$2

step() {
    printf '\n== %s\n$ %s\n' "$1" "$2"
}

step "A config and a throwaway PKI" "mdmprofile init --demo $directory"
"$mdmprofile" init --demo --force "$directory"
cd "$directory"

step "Build and sign the enrollment profile and the documents beside it" "mdmprofile build"
"$mdmprofile" build

step "Who signed it?" "mdmprofile verify out/enroll.mobileconfig --trust pki/root.pem"
"$mdmprofile" verify out/enroll.mobileconfig --trust pki/root.pem

later=$(($(date +%Y) + 3))-01-01
step "What would a replacement on $later mean?" "mdmprofile check out/enroll.mobileconfig --replace-on $later"
"$mdmprofile" check out/enroll.mobileconfig --replace-on "$later" --fail-on error

step "The property list itself" "mdmprofile unsign out/enroll.mobileconfig -o -"
"$mdmprofile" unsign out/enroll.mobileconfig -o - --quiet | sed -n '1,24p'
printf '...\n\n'

cat <<END
Look around in $directory/:
  enroll.toml                    the commented config: change it and build again
  out/enroll.mobileconfig        what a device installs
  out/trust.mobileconfig         the roots alone, for trust_profile_url
  out/MDMServiceConfig           what the server answers at /MDMServiceConfig
  out/dep_anchor_certs           the anchors for automated enrollment
END
