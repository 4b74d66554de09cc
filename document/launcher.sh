#!/bin/sh
# Runs the program that was downloaded beside the config, if it is the one that this document names.
# Whatever else it finds, it leaves the host as it was and says so by the marker (docs/architecture.md).
export LC_ALL=C TZ=UTC PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
umask 022
program=$PWD/haproxy_apply.zip

failed() { # STATUS REASON DETAIL
  case ${SSM_Generation-} in
    '' | *[!0-9]* | ????????????????*) SSM_Generation=0 ;;
  esac
  SSM_Generation=${SSM_Generation#"${SSM_Generation%%[!0]*}"} # JSON knows no number that begins with 0
  printf 'haproxy-ec2-sync {"outcome":"failed","reason":"%s","generation":%s,"md5_before":"","md5_after":"",' \
    "$2" "${SSM_Generation:-0}"
  printf '"running_md5":"","method":"none","window_ms":0,"backup":"","old_workers":0,"haproxy_version":"",'
  printf '"style":"","notes":"","detail":"%s"}\n' "$3"
  exit "$1"
}

[ -f "$program" ] || failed 14 program-missing "no haproxy_apply.zip was downloaded"
sum=$(sha256sum <"$program")
[ "${sum%% *}" = PROGRAM_SHA256 ] || failed 15 program-mismatch "SHA-256 of haproxy_apply.zip is ${sum%% *}"

found=
for python in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9 python3.8 \
  /usr/libexec/platform-python; do
  command -v "$python" >/dev/null || continue
  version=$("$python" -I -S -c 'import sys; v = sys.version_info; print("%d.%d" % v[:2]); sys.exit(v < (3, 8))') &&
    exec "$python" -I -S -B -c '
import sys
program, kept = sys.argv[1:]
sys.path.insert(0, program)
from haproxy_apply import bytecode
archive = bytecode.load(kept)
from haproxy_apply.__main__ import main
sys.exit(main(program, archive))' "$program" "/var/cache/haproxy-ec2-sync/${sum%% *}"
  case $version in '' | *[!0-9.]*) version=broken ;; esac
  found="${found:+$found, }$python is $version"
done
failed 16 no-python "it needs Python 3.8 or later, found: ${found:-none}"
