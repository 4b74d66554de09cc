#!/bin/bash
# Makes the haproxy.cfg in the working directory this host's running configuration, or leaves the host as it was.
#
# In: SSM_Md5, SSM_Sha256, SSM_Generation, SSM_ConfigPath, SSM_ReloadMethod, SSM_ListenPorts (docs/architecture.md).
# Out: the first line of standard output is the marker, `haproxy-ec2-sync {json}`; then a bounded log.
#
# The agent kills the process group with SIGKILL, so no trap can be trusted. After a kill at any instruction:
#   the live file is wholly old or wholly new   (one rename, made durable first)
#   ports open again within DROP_SECONDS        (the SYN drop expires in the kernel)
#   the next run finishes or repairs            (what is proven is written last; what is intended, first)
# shellcheck disable=SC2015 # `a && b || fail` is meant: whichever of both fails
# shellcheck disable=SC2154 # SSM_* come from the agent
# shellcheck disable=SC2016 # the awk programs expand their own variables
set -u
export LC_ALL=C TZ=UTC PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
umask 022

readonly DROP_SECONDS=3    # longest time that a SYN is dropped, whatever dies
readonly LOCK_SECONDS=60   # a command waits this long for another one
readonly RELOAD_SECONDS=15 # for a new worker to be ready; 2.1 s of it go to HAProxy's own bind retries
readonly WATCH_SECONDS=2   # a new worker has to live this long
readonly WARM_SECONDS=4    # for the first good check of a server added at run time; later ones come up by themselves
readonly SOCKET_SECONDS=5  # for an answer on a socket
readonly MAX_STEPS=50      # of a change at run time; a longer one is a reload
readonly KEEP_BACKUPS=5
readonly STATE_DIR=/var/lib/haproxy-ec2-sync
# Of the drop window: its file has the name of earlier releases, whose killed runs are swept as well.
readonly DROP_FILE=$STATE_DIR/hold
readonly STATE=$STATE_DIR/state START_LOG=$STATE_DIR/start.log TOUCHED=$STATE_DIR/touched
readonly OLD_MODEL=$STATE_DIR/old.model NEW_MODEL=$STATE_DIR/new.model PROVEN_MODEL=$STATE_DIR/proven.model
readonly COMMENT=haproxy-ec2-sync TABLE=haproxy_ec2_sync

md5_before="" md5_after="" running_md5="" method=none window_ms=0 backup="" style="" version="" notes="" log=""
live="" candidate="" saved="" fallback="" fallback_md5="" failure="" detail="" marked=""
highest_generation=0 installed="" proven="" boot=""
drop_tool="" window_started=0 half_changed=""
binary="" pidfile="" master_socket="" master_option="" is_master="" files=() options=() environ=()
root="" worker="" worker_id="" unit="" roots=() workers=() masters=" " earlier=" " other_file=""
socket_tool="" handover="" failed_before=0
# What the old and the new file say, as `old.socket` and so on; read once, so neither overwrites the other.
declare -A fact=()
present=old awaited=new # the file of the process that is there, and that of the worker which comes next

# --- words to the outside ---

note() { [[ " $notes " == *" $1 "* ]] || notes="${notes:+$notes }$1"; }

json() { # the text as the inside of a JSON string: printable ASCII, at most $2 characters
  local text=${1//[^[:print:]]/ }
  text=${text:0:$2}
  text=${text//\\/\\\\}
  printf '%s' "${text//\"/\\\"}"
}

finish() { # EXIT OUTCOME REASON [DETAIL]: the marker, the log, the end
  local old_workers=$((${#workers[@]} > 0 ? ${#workers[@]} - 1 : 0))
  close_drop_window
  [ -z "$candidate" ] || rm -f -- "$candidate" "$saved"
  marked=yes
  printf '%s {"outcome":"%s","reason":"%s","generation":%s,"md5_before":"%s","md5_after":"%s","running_md5":"%s",' \
    "$COMMENT" "$2" "$3" "${SSM_Generation:-0}" "$md5_before" "$md5_after" "$running_md5"
  printf '"method":"%s","window_ms":%s,"backup":"%s","old_workers":%s,"haproxy_version":"%s","style":"%s",' \
    "$method" "$window_ms" "$backup" "$old_workers" "$version" "$style"
  printf '"notes":"%s","detail":"%s"}\n' "$(json "$notes" 200)" "$(json "${4:-}" 500)"
  printf '%s' "${log:0:6000}"
  exit "$1"
}

# shellcheck disable=SC2317,SC2329 # by the traps
interrupted() { # a TERM or a bug: still says so, still opens the ports
  [ -n "$marked" ] || { trap - EXIT && finish 31 failed interrupted "$failure"; }
}

now_ms() { # into `now`, without a fork
  local uptime
  read -r uptime _ </proc/uptime
  now=$((10#${uptime/./} * 10))
}

# --- before anything is touched ---

read_parameters() { # refuses what is unset (an agent that does not know ENV_VAR) or malformed
  local name
  # A generation that is not a number must not reach the marker.
  [[ ${SSM_Generation-0} =~ ^[0-9]{1,15}$ ]] || { SSM_Generation=0 && finish 10 failed bad-parameter Generation; }
  for name in Md5 Sha256 Generation ConfigPath ReloadMethod ListenPorts; do
    name=SSM_$name
    [ -n "${!name+set}" ] ||
      finish 11 failed agent-too-old "$name is unset: update the SSM agent to 3.3.2746.0 or later"
  done

  SSM_Generation=$((10#$SSM_Generation))
  [[ $SSM_Md5 =~ ^[0-9a-f]{32}$ ]] || finish 10 failed bad-parameter Md5
  [[ $SSM_Sha256 =~ ^[0-9a-f]{64}$ ]] || finish 10 failed bad-parameter Sha256
  [[ $SSM_ConfigPath =~ ^/[A-Za-z0-9._/-]*[A-Za-z0-9]$ && $SSM_ConfigPath != *..* ]] ||
    finish 10 failed bad-parameter ConfigPath
  [[ $SSM_ReloadMethod =~ ^(syn-drop|seamless|runtime|auto)$ ]] || finish 10 failed bad-parameter ReloadMethod
  [[ $SSM_ListenPorts =~ ^[0-9]{1,5}(,[0-9]{1,5}){0,14}$ ]] || finish 10 failed bad-parameter ListenPorts
}

lock() { # one run at a time on this host; children that stay behind are started with 9>&-
  { [ -d "$STATE_DIR" ] || (umask 077 && mkdir -p "$STATE_DIR"); } && exec 9>>"$STATE_DIR/lock" || finish 13 failed state-unwritable "$STATE_DIR"
  flock -w "$LOCK_SECONDS" 9 || finish 12 failed locked "another run holds $STATE_DIR/lock"
}

load_state() { # what earlier runs left; anything unreadable counts as not known
  local key value
  read -r boot </proc/sys/kernel/random/boot_id
  [ -r "$STATE" ] || return 0
  while read -r key value; do
    case $key in
      generation) [[ $value =~ ^[0-9]{1,15}$ ]] && highest_generation=$value ;;
      installed) installed=$value ;;
      running) proven=$value ;;
    esac
  done <"$STATE"
}

save_state() { # durable before the name changes; a crash leaves the old state or the new one
  printf 'generation %s\ninstalled %s\nrunning %s\n' "$highest_generation" "$installed" "$proven" |
    dd of="$STATE.new" conv=fsync 2>/dev/null && mv -f "$STATE.new" "$STATE"
}

digest() { # both digests with one process; a missing file has none
  local sum name
  live=$SSM_ConfigPath
  [ ! -L "$live" ] || live=$(readlink -m -- "$live")
  candidate=${live%/*}/.${live##*/}.$COMMENT.new
  saved=${live%/*}/.${live##*/}.$COMMENT.old
  downloaded_md5=""
  while read -r sum name; do
    case $name in
      ./haproxy.cfg) downloaded_md5=$sum ;;
      "$live") md5_before=$sum ;;
    esac
  done < <(md5sum ./haproxy.cfg "$live" 2>/dev/null)
  md5_after=$md5_before
}

# --- which HAProxy ---

read_command_line() { # PID: binary, files, options and modes of a running HAProxy; 1 for one that only checks a file
  local words=() word index=0
  while IFS= read -r -d '' word; do words+=("$word"); done 2>/dev/null <"/proc/$1/cmdline"
  [ ${#words[@]} -gt 0 ] || return 1
  binary=${words[0]} pidfile="" master_socket="" is_master="" files=() options=()
  while [ $((++index)) -lt ${#words[@]} ]; do
    word=${words[index]}
    case $word in
      -c | -v | -vv) return 1 ;;
      -W | -Ws) is_master=$word ;;
      -D | -db | -q | -V | -d) ;;
      -p) pidfile=${words[++index]-} ;;
      -S) master_option=${words[++index]-} && master_socket=${master_option%%,*} ;;
      -x) index=$((index + 1)) ;;
      -sf | -st) while [[ ${words[index + 1]-} =~ ^[0-9]+$ ]]; do index=$((index + 1)); done ;;
      -f) while [ -n "${words[index + 1]-}" ] && [[ ${words[index + 1]} != -* ]]; do files+=("${words[++index]}"); done ;;
      --) files+=("${words[@]:index+1}") && index=${#words[@]} ;;
      -C | -L | -m | -n | -N) options+=("$word" "${words[++index]-}") ;;
      *) options+=("$word") ;;
    esac
  done
  [[ $binary == /* && -x $binary ]] || binary=$(readlink "/proc/$1/exe")
  binary=${binary% (deleted)}
}

serves_live_file() { # PID: one of its -f is the live file, or the directory that holds it
  local file
  for file in ${files[@]+"${files[@]}"}; do
    [[ $file == /* ]] || file=/proc/$1/cwd/$file
    [ "$file" -ef "$live" ] || [ "$file" = "$SSM_ConfigPath" ] || [ "$file" -ef "${live%/*}" ] && return 0
    other_file=$file
  done
  return 1
}

pid_file_names() { # PID: that of its command line, which was just read; else that of either file
  local file named candidates=("$pidfile")
  [ -n "$pidfile" ] || candidates=("${fact["old.pidfile"]-}" "${fact["new.pidfile"]-}")
  for file in "${candidates[@]}"; do
    named=""
    { read -r named _ <"$file"; } 2>/dev/null
    [ "$named" != "$1" ] || return 0
  done
  return 1
}

discover() { # root (master or daemon), newest worker and its identity, all others; nothing found leaves them empty
  local dir pid comm stat fields newest=-1 rank best=-1
  local -A parent=() start=()
  local ours=("$binary" "$pidfile" "$master_socket" "$master_option" "$is_master")
  local our_files=(${files[@]+"${files[@]}"}) our_options=(${options[@]+"${options[@]}"})
  root="" worker="" worker_id="" roots=() workers=() masters=" "
  for dir in /proc/[0-9]*; do
    pid=${dir#/proc/}
    { read -r comm <"$dir/comm"; } 2>/dev/null && [[ $comm == haproxy* ]] || continue
    # A container's HAProxy is not ours.
    [ "$dir/ns/net" -ef /proc/self/ns/net ] && [ "$dir/ns/pid" -ef /proc/self/ns/pid ] || continue
    { read -r stat <"$dir/stat"; } 2>/dev/null || continue
    read -r -a fields <<<"${stat##*) }"
    [ "${fields[0]}" != Z ] && read_command_line "$pid" && serves_live_file "$pid" || continue
    parent[$pid]=${fields[1]} start[$pid]=${fields[19]}
  done
  for pid in ${parent[@]+"${!parent[@]}"}; do
    [ -n "${parent[${parent[$pid]}]-}" ] || roots+=("$pid")
  done
  [ ${#roots[@]} -gt 0 ] || {
    # What another HAProxy was started with is not how ours is started again.
    binary=${ours[0]} pidfile=${ours[1]} master_socket=${ours[2]} master_option=${ours[3]} is_master=${ours[4]}
    files=(${our_files[@]+"${our_files[@]}"}) options=(${our_options[@]+"${our_options[@]}"})
    return 0
  }
  for pid in "${roots[@]}"; do # the one that its pid file names, else a master, else the newest
    read_command_line "$pid" || continue
    rank=0
    [ -z "$is_master" ] || { rank=1 && masters+="$pid "; }
    ! pid_file_names "$pid" || rank=2
    [ $rank -lt $best ] || { [ $rank -eq $best ] && [ "${start[$pid]}" -le "${start[$root]}" ]; } || { root=$pid && best=$rank; }
  done
  read_command_line "$root" || return 0
  for pid in "${!parent[@]}"; do
    [ "${parent[$pid]}" = "$root" ] || continue
    [ "${start[$pid]}" -lt "$newest" ] || { newest=${start[$pid]} && worker=$pid; }
  done
  # A daemon has children too, for a moment: those of `external-check`.
  [ -n "$is_master" ] || [ -z "$worker" ] || ! grep -qE '^[[:space:]]*master-worker' "$live" || is_master=-W
  if [ -n "$is_master" ]; then
    style=master-worker
    for pid in "${!parent[@]}"; do [ "$pid" = "$root" ] || workers+=("$pid"); done
  else
    style=daemon worker=$root workers=("${roots[@]}")
  fi
  [ -z "$worker" ] || worker_id="$worker ${start[$worker]} $boot"
}

find_unit() { # the systemd unit of the running HAProxy, where systemd runs
  local line
  unit=""
  [ -d /run/systemd/system ] && command -v systemctl >/dev/null || return 0
  while read -r line; do
    [[ $line =~ /([^/]*haproxy[^/]*\.service)$ ]] && unit=${BASH_REMATCH[1]}
  done <"/proc/$root/cgroup"
  [ -n "$unit" ] || [ "$(systemctl show -p MainPID haproxy.service 2>/dev/null)" != "MainPID=$root" ] || unit=haproxy.service
}

# What the present worker is proven to run: our own record says so, or it began after the file's last change.
find_running_digest() {
  local key value changed
  running_md5=""
  [ -n "$worker" ] || return 0
  if [ "${proven#* }" = "$worker_id" ]; then
    running_md5=${proven%% *}
    return
  fi
  # A run that was killed on its way may have left a worker that read the other file.
  [ -n "$md5_before" ] && [[ $installed != *" "* ]] || return 0
  for key in "${roots[@]}"; do # a run killed before it stopped the old process leaves two that serve
    [ "$key" = "$root" ] || ! listens "$key" || return 0
  done
  while read -r key value; do [ "$key" != btime ] || break; done </proc/stat
  changed=$(stat -c %Z -- "$live" "$SSM_ConfigPath" | sort -n | tail -n 1) # of the file or of the link to it
  value=$((value + $(cut -d ' ' -f 2 <<<"$worker_id") / 100))              # USER_HZ is 100
  # Two seconds: a worker reads the file before it is forked.
  [ "$value" -lt $((changed + 2)) ] || { running_md5=$md5_before && proven="$md5_before $worker_id"; }
}

find_binary() { # the binary to check with, also when HAProxy is stopped
  local line
  if [ -z "$root" ]; then
    binary=$(type -P haproxy) || finish 16 failed no-haproxy "haproxy is not on PATH and not running"
    files=("$SSM_ConfigPath") options=()
  fi
  line=$("$binary" -v 2>/dev/null) || finish 16 failed no-haproxy "$binary -v fails"
  [[ $line =~ version\ ([0-9]+\.[0-9]+[^ ]*) ]] && version=${BASH_REMATCH[1]}
}

environment() { # into `environ`: the running HAProxy's own, for what its file refers to
  local pair
  environ=()
  [ -n "$root" ] || return 0
  while IFS= read -r -d '' pair; do
    [[ $pair == HAPROXY_* || $pair == NOTIFY_SOCKET=* || $pair == LISTEN_* ]] || environ+=("$pair")
  done <"/proc/$root/environ"
}

# The binary with the running one's options and environment, also after its death; it inherits no open file of ours.
run_haproxy() {
  if [ ${#environ[@]} -gt 0 ]; then
    env -i "${environ[@]}" "$binary" "$@" </dev/null 9>&-
  else
    "$binary" "$@" </dev/null 9>&-
  fi
}

# --- what a file says ---

# Lines, tab separated, never with an empty field:
#   G  stats socket, state file and pid file; B  a bind address with what decides whether it can be bound
#   S  backend/name address port weight rise checked disabled other-options, default-server merged in
#   T  the same of a server that is an R line: not understood, or backend/prefix* of a template
#   R  every other line: any difference here needs a new process
# A line with quotes, escapes or variables is not understood and therefore an R line.
readonly READ_MODEL='
function word_or_dash(text) { return text == "" ? "-" : text }
function place(text,    at) { # into `address` and `port`
  address = text; port = "-"
  at = address ~ /\]$/ ? 0 : match(address, /:[^:]*$/)
  if (at) { port = substr(address, at + 1); address = substr(address, 1, at - 1) }
  gsub(/[][]/, "", address)
  if (address == "") address = "*"
}
function server(kind, name, at,    i, weight, rise, checked, disabled, others, options, n) { # its place is field `at`
  weight = 1; rise = 2; checked = disabled = 0; others = ""
  options = defaults_of_servers
  for (i = at + 1; i <= NF; i++) options = options " " $i
  n = split(options, option, " ")
  for (i = 1; i <= n; i++) {
    if (option[i] == "weight") { weight = option[++i]; continue }
    if (option[i] == "disabled") { disabled = 1; continue }
    if (option[i] == "enabled") { disabled = 0; continue }
    if (option[i] == "rise") rise = option[i + 1]
    if (option[i] == "check") checked = 1
    if (option[i] == "no-check") checked = 0
    others = others (others == "" ? "" : " ") option[i]
  }
  place($at)
  print kind, section_name "/" name, address, word_or_dash(port), weight, rise, checked, disabled, word_or_dash(others)
}
BEGIN { OFS = "\t" }
{ sub(/^[ \t]+/, ""); sub(/[ \t\r]+$/, "") }
/^#/ || /^$/ { next }
# A comment begins at the first # that is neither quoted nor escaped.
match($0, /^([^"\047\\#]|\\.|"([^"\\]|\\.)*"|\047[^\047]*\047)*#/) {
  $0 = substr($0, 1, RLENGTH - 1)
  sub(/[ \t]+$/, "")
}
{ plain = !/["\047\\$]/ }
$1 ~ /^(global|defaults|frontend|backend|listen|peers|resolvers|mailers|userlist|ring|program|cache|http-errors|log-forward|log-profile|fcgi-app|crt-store|traces|acme)$/ {
  section = $1; section_name = $2; base = latest_defaults
  gsub(/["\047\\]/, "", section_name)
  for (i = 2; i < NF; i++) if ($i == "from") base = $(i + 1)
  defaults_of_servers = base_options[base]
  if (section == "defaults") { latest_defaults = $2 == "" || $2 == "from" ? "." NR : $2; defaults_of_servers = $3 == "from" || $2 == "from" ? base_options[base] : "" }
}
$1 == ".if" { depth++ }
$1 == ".endif" { depth-- }
depth { plain = 0 }
$1 == "default-server" {
  if (plain) for (i = 2; i <= NF; i++) defaults_of_servers = defaults_of_servers " " $i
  else defaults_of_servers = defaults_of_servers " not-understood"
}
section == "defaults" { base_options[latest_defaults] = defaults_of_servers }
section == "global" && $1 == "stats" && $2 == "socket" {
  level = "operator"; exposes = "-"; path = $3; gsub(/["\047]/, "", path); sub(/^unix@/, "", path)
  for (i = 4; i <= NF; i++) { if ($i == "level") level = $(i + 1); if ($i == "expose-fd") exposes = "expose" }
  if (path ~ /^\//) print "G", "socket", path, level, exposes
}
section == "global" && $1 ~ /^(pidfile|server-state-file|server-state-base)$/ { path = $2; gsub(/["\047]/, "", path); print "G", $1, path, "-", "-" }
section == "global" && $1 == "chroot" { path = $2; gsub(/["\047]/, "", path); print "G", "chroot", path, "-", "-" }
$1 == "load-server-state-from-file" { print "G", "load", $2, "-", "-" }
$1 == "bind" && $2 !~ /^(fd|unix|abns|abnsz|udp|udp4|udp6|quic4|quic6|sockpair|rhttp)@/ && $2 !~ /^\// {
  extra = "-"
  for (i = 3; i <= NF; i++) if ($i ~ /^(transparent|v4v6|v6only)$/) extra = extra " " $i; else if ($i ~ /^(interface|namespace)$/) extra = extra " " $i " " $(i + 1)
  sub(/^- /, "", extra)
  print "B", $2, extra
}
$1 == "server" && plain && (section == "backend" || section == "listen") { server("S", $2, 3); next }
{ print "R", $0 }
section != "backend" && section != "listen" { next }
{ gsub(/["\047\\]/, "") }
$1 == "server" && NF > 2 { server("T", $2, 3) }
$1 == "server-template" && NF > 3 { server("T", $2 "*", 4) }
'

# An address as HAProxy shows it, but an IPv6 one in a spelling of ours: eight groups without leading zeros.
readonly SPELT_OUT='
function spelt_out(address,    halves, left, right, l, r, i, group, all) {
  if (address !~ /:/) return address == "*" ? "0.0.0.0" : address
  halves = split(tolower(address), half, "::")
  if (match(address, /:[0-9]+[.][0-9]+[.][0-9]+[.][0-9]+$/)) { # the last two groups as an IPv4 address
    split(substr(address, RSTART + 1), byte, ".")
    return spelt_out(substr(address, 1, RSTART) sprintf("%x:%x", byte[1] * 256 + byte[2], byte[3] * 256 + byte[4]))
  }
  l = split(half[1], left, ":"); r = halves > 1 ? split(half[2], right, ":") : 0
  for (i = 1; i <= 8; i++) {
    group = i <= l ? left[i] : i > 8 - r ? right[i - 8 + r] : "0"
    sub(/^0+/, "", group)
    all = all (i > 1 ? ":" : "") (group == "" ? "0" : group)
  }
  return all
}
'

read_models() { # of the present file and of the candidate
  awk "$READ_MODEL" "$candidate" >"$NEW_MODEL" || finish 13 failed state-unwritable "$NEW_MODEL"
  [ "$md5_before" != "$SSM_Md5" ] || find_fallback
  if [ -n "$md5_before" ]; then awk "$READ_MODEL" "${fallback:-$live}" >"$OLD_MODEL"; else : >"$OLD_MODEL"; fi
  read_facts old
  read_facts new
}

find_fallback() { # the backup of the file that last ran, where the live file was never activated
  local ran=${running_md5:-${installed%% *}} file sum
  for file in "$SSM_ConfigPath".[0-9]*Z."${ran:0:8}".bak; do
    [ -f "$file" ] && read -r sum _ < <(md5sum -- "$file") || continue
    [ "$sum" != "$ran" ] || [ "$sum" = "$SSM_Md5" ] || { fallback=$file && fallback_md5=$sum; }
  done
}

read_facts() { # FILE (old or new): its stats socket, the one that hands listeners over, its state file and pid file
  local key value level exposes base="" load="" socket="" socket_level="" exposed="" state="" pidfile=""
  while IFS=$'\t' read -r _ key value level exposes; do
    case $key in
      socket)
        [ "$exposes" != expose ] || exposed=$value
        [ "$socket_level" = admin ] || socket=$value socket_level=$level
        ;;
      pidfile) pidfile=$value ;;
      server-state-file) state=$value ;;
      server-state-base) base=${value%/}/ ;;
      load) [ "$value" != global ] || load=global ;;
    esac
  done < <(grep -e "^G" "$STATE_DIR/$1.model")
  [[ $state == /* ]] || state=${state:+$base$state}
  [ "$load" = global ] || state=""
  fact+=(["$1.socket"]=$socket ["$1.level"]=$socket_level ["$1.exposed"]=$exposed ["$1.state"]=$state ["$1.pidfile"]=$pidfile)
}

# --- the sockets of the running HAProxy ---

find_socket_tool() {
  local tool
  for tool in socat nc python3 perl; do
    type -P $tool >/dev/null || continue
    [ $tool != nc ] || [[ $(nc -h 2>&1) =~ [\ \[-]U|-[A-Za-z0-9]*U[A-Za-z0-9]*] ]] || continue
    socket_tool=$tool
    return
  done
  note no-socket-tool
}

ask() { # SOCKET COMMAND: the answer, whatever it is; a refusal is text, not a status
  case $socket_tool in
    socat) printf '%s\n' "$2" | timeout --foreground $SOCKET_SECONDS socat -t $SOCKET_SECONDS - "UNIX-CONNECT:$1" ;;
    nc) printf '%s\n' "$2" | timeout --foreground $SOCKET_SECONDS nc -U "$1" ;;
    python3)
      timeout --foreground $SOCKET_SECONDS python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(sys.argv[2].encode() + b"\n")
sys.stdout.write(b"".join(iter(lambda: s.recv(65536), b"")).decode("latin-1"))' "$1" "$2"
      ;;
    perl)
      timeout --foreground $SOCKET_SECONDS perl -MIO::Socket::UNIX -e '
my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or exit 1; print $s "$ARGV[1]\n"; $s->flush; print while <$s>;' "$1" "$2"
      ;;
    *) return 1 ;;
  esac 2>/dev/null </dev/null
}

can_ask() { [ -n "$socket_tool" ] && [ -n "${fact["$awaited.socket"]}" ]; } # the worker that is awaited

answers() { # PID: is the process that answers on the stats socket of the awaited file
  can_ask && [[ $'\n'$(ask "${fact["$awaited.socket"]}" "show info") == *$'\n'"Pid: $1"$'\n'* ]]
}

failed_reloads() { # the master's own count since its last good one; nothing where it cannot be asked
  [ -n "$master_socket" ] && [[ $(ask "$master_socket" "show proc") =~ failed:\ ([0-9]+) ]] && printf %s "${BASH_REMATCH[1]}"
}

# --- the file ---

copy_candidate() { # the download beside the live file, durable, with the live file's owner and mode, digests proven
  local owner=root:root mode=0644 sum
  rm -f -- "$candidate" "$saved"
  [ -z "$md5_before" ] || read -r owner mode < <(stat -c '%u:%g %a' -- "$live")
  dd if=haproxy.cfg of="$candidate" bs=1M conv=fsync 2>/dev/null &&
    chown "$owner" "$candidate" && chmod "$mode" "$candidate" ||
    finish 18 failed cannot-write "no room or no right to write in ${live%/*}"
  [ ! -e /sys/fs/selinux/enforce ] || [ -z "$md5_before" ] || chcon --reference="$live" "$candidate" || :
  read -r sum _ < <(sha256sum -- "$candidate")
  [ "$sum" = "$SSM_Sha256" ] || finish 15 failed checksum-mismatch "SHA-256 of the copy is $sum"
}

check_candidate() { # this host's own `haproxy -c`: any non-zero status is a no (2: would not start)
  local file loaded=() arguments=() output status
  for file in "${files[@]}"; do # of a directory HAProxy reads *.cfg, in this order
    if [ -d "$file" ]; then loaded+=("${file%/}"/*.cfg); else loaded+=("$file"); fi
  done
  for file in "${loaded[@]}"; do
    [ "$file" -ef "$live" ] || [ "$file" = "$SSM_ConfigPath" ] && file=$candidate
    arguments+=(-f "$file")
  done
  environment
  output=$(run_haproxy -c ${options[@]+"${options[@]}"} "${arguments[@]}" 2>&1)
  status=$?
  log+="$output"$'\n'
  [ $status -eq 0 ] || finish 17 failed invalid-config "haproxy -c exits $status: $(grep -m 3 -F -e ALERT <<<"$output")"
}

check_directories() { # that HAProxy needs and `-c` does not look for
  local key path
  while IFS=$'\t' read -r _ key path _; do
    [ "$key" != socket ] || path=${path%/*}
    [[ $key != socket && $key != chroot ]] || [[ $path != /* ]] || [ -d "$path/" ] ||
      finish 19 failed missing-directory "$path, which the new file needs, is not a directory"
  done < <(grep -e "^G" "$NEW_MODEL")
}

# Bind lines of the new file that the old one has not and that no HAProxy on this host holds, whatever the spelling.
readonly NEW_BINDS='
function spelt(address,    at, host) {
  at = match(address, /:[^:]*$/)
  host = substr(address, 1, at - 1)
  gsub(/[][]/, "", host)
  return (host == "" || host == "0.0.0.0" || host == "*" ? any : host) substr(address, at)
}
input == "held" { any = $4 ~ /^[*]/ ? "::" : "*"; if (/"haproxy"/) held[spelt($4)] = 1; next }
input == "old" { had[$0] = 1; next }
$1 == "B" && !($0 in had) {
  any = "*"
  if (NF == 3 && $3 ~ /^(-|v6only|v4v6)$/ && spelt($2) in held) next
  sub(/^B\t/, " bind ")
  sub(/\t-$/, "")
  print
}
'

# Every address that is new in the file can be bound: `-c` does not look, and a reload would pause all listeners.
check_binds() {
  local said old=$OLD_MODEL
  [ "$md5_before" != "$SSM_Md5" ] || [ -n "$fallback" ] || old=/dev/null
  {
    printf 'defaults\n mode tcp\n timeout connect 1s\n timeout client 1s\n timeout server 1s\nlisten new-addresses\n'
    awk "$NEW_BINDS" input=held <(ss -ltnp 2>/dev/null) input=old "$old" input=new "$NEW_MODEL"
    # This one never binds, so that the process ends in any case, before it accepts anything.
    printf ' bind unix@/dev/null/never\n'
  } >"$STATE_DIR/binds.cfg" || finish 13 failed state-unwritable "$STATE_DIR"
  [ "$(wc -l <"$STATE_DIR/binds.cfg")" -gt 7 ] || return 0
  said=$(run_haproxy -db -f "$STATE_DIR/binds.cfg" 2>&1 | grep -e "cannot" | grep -v -F -e /dev/null/never)
  [ -n "$said" ] || return 0
  [ -n "$fallback" ] && restore_file || finish 19 failed cannot-bind "$said"
  # The host must not start with a file that cannot start.
  save_state || note state-not-saved
  finish 20 rolled-back cannot-bind "$said"
}

back_up() { # a copy that appears whole; the newest five stay
  local stamp old
  [ -n "$md5_before" ] || return 0
  printf -v stamp '%(%Y%m%dT%H%M%SZ)T' -1
  backup=$SSM_ConfigPath.$stamp.${md5_before:0:8}.bak
  cp -p -- "$live" "$saved" && mv -f -- "$saved" "$backup" ||
    { backup="" && finish 18 failed cannot-write "no room for a backup in ${live%/*}"; }
  fallback=$backup fallback_md5=$md5_before
  old=("$SSM_ConfigPath".[0-9]*Z.????????.bak)
  [ ${#old[@]} -le $KEEP_BACKUPS ] || rm -f -- "${old[@]:0:${#old[@]}-KEEP_BACKUPS}"
}

install_candidate() { # intent first, so that an older command cannot come back after a kill here
  highest_generation=$SSM_Generation
  installed="$md5_before $SSM_Md5"
  save_state || finish 13 failed state-unwritable "$STATE"
  mv -f -- "$candidate" "$live" || finish 18 failed cannot-write "rename to $live"
  sync "${live%/*}" 2>/dev/null || :
  md5_after=$SSM_Md5
}

restore_file() { # the file that ran before, by the same one rename
  [ "$md5_before" != "$SSM_Md5" ] || [ -n "$fallback" ] || return 0
  if [ -z "$fallback" ]; then
    rm -f -- "$live"
  else
    cp -p -- "$fallback" "$candidate" && mv -f -- "$candidate" "$live"
  fi || return 1
  md5_after=$fallback_md5 installed=$fallback_md5
  sync "${live%/*}" 2>/dev/null || :
}

# --- the drop window: new SYNs are dropped while the old process stops ---

nft_drop() { # one transaction for both families
  local expiring=" timeout ${DROP_SECONDS}s"
  nft -f - 2>/dev/null <<RULES
table inet $TABLE
delete table inet $TABLE
table inet $TABLE {
  set ports { type inet_service; flags timeout; elements = { ${SSM_ListenPorts//,/$expiring, }$expiring }; }
  chain input {
    type filter hook input priority -10; policy accept;
    iifname != "lo" tcp flags & (fin|syn|rst|ack) == syn tcp dport @ports counter drop comment "$COMMENT"
  }
}
RULES
}

has_ipv6() { read -r _ </proc/net/if_inet6; } 2>/dev/null

iptables_drop() { # both families or none; --datestop counts whole seconds
  local tool stop
  printf -v stop '%(%Y-%m-%dT%H:%M:%S)T' "$(($(date +%s) + DROP_SECONDS))"
  for tool in iptables ip6tables; do
    [ $tool = iptables ] || has_ipv6 || continue
    $tool -w 2 -I INPUT ! -i lo -p tcp -m multiport --dports "$SSM_ListenPorts" --syn -m time --datestop "$stop" \
      -m comment --comment "$COMMENT" -j DROP 2>/dev/null || { sweep_drop_rules && return 1; }
  done
}

migrate_handshakes() { # lets the kernel move what waits on a closing listener to another one; has to stay on to work
  local switch=/proc/sys/net/ipv4/tcp_migrate_req now_on
  { read -r now_on <"$switch"; } 2>/dev/null || return 1
  [ "$now_on" = 1 ] || { printf '1\n' >"$switch" && note tcp-migrate-req-on; } 2>/dev/null
}

# From here new SYNs on the listed ports are dropped. The kernel ends it after DROP_SECONDS even if all of this dies.
open_drop_window() {
  now_ms
  window_started=$now
  printf 'hold\n' >"$DROP_FILE" || {
    note no-drop-window && migrate_handshakes
    return
  }
  if command -v nft >/dev/null && nft_drop; then
    drop_tool=nft
  elif command -v iptables >/dev/null && iptables_drop; then
    drop_tool=iptables
  else
    rm -f "$DROP_FILE"
    note no-drop-window
    migrate_handshakes || :
  fi
}

close_drop_window() {
  [ -n "$drop_tool" ] || return 0
  sweep_drop_rules
  drop_tool=""
  now_ms
  now=$((now - window_started))
  window_ms=$((window_ms + (now < DROP_SECONDS * 1000 ? now : DROP_SECONDS * 1000)))
}

sweep_drop_rules() { # removes our rules and only ours: this run's, or the inert ones of a run that was killed
  local tool rule words left=""
  [ -e "$DROP_FILE" ] || return 0
  [ "$drop_tool" = iptables ] || nft delete table inet "$TABLE" 2>/dev/null
  if [ "$drop_tool" != nft ]; then
    for tool in iptables{,-nft,-legacy} ip6tables{,-nft,-legacy}; do
      command -v "$tool" >/dev/null || continue
      [ -z "$drop_tool" ] || [[ $tool != *-* ]] || continue
      while read -r rule; do
        read -r -a words <<<"${rule#-A }"
        "$tool" -w 2 -D "${words[@]}" 2>/dev/null || { left=yes && note drop-window-expires-by-itself; }
      done < <("$tool" -w 2 -S INPUT 2>/dev/null | grep -F -e "--comment $COMMENT ")
    done
  fi
  [ -n "$left" ] || rm -f "$DROP_FILE"
}

let_handshakes_end() { # inside the drop window: nobody is left between SYN and accept, or 0.4 s are over
  local filter attempt
  command -v ss >/dev/null || { sleep 0.2 && return; }
  filter="( sport = :${SSM_ListenPorts//,/ or sport = :} )"
  for attempt in {1..25}; do
    # LISTEN lines carry the accept queue in Recv-Q.
    ss -nat state syn-recv state listening "$filter" 2>/dev/null |
      awk '$1 == "SYN-RECV" || ($1 == "LISTEN" && $2 > 0) { found = 1 } END { exit !found }' || return 0
    sleep 0.01
  done
}

# --- the reload ---

remember_processes() { # what was there before; anything else is new
  earlier=" $root ${workers[*]-} ${roots[*]-} "
}

is_new() { [ -n "$1" ] && [[ $earlier != *" $1 "* ]]; }

listens() { # PID: holds a listening TCP socket
  local sockets
  if command -v ss >/dev/null; then
    sockets=$(ss -lnte 2>/dev/null | sed -n 's/.* ino:\([0-9]*\) .*/socket:[\1]/p')
  else
    sockets=$(awk '$4 == "0A" { print "socket:[" $10 "]" }' /proc/net/tcp /proc/net/tcp6 2>/dev/null)
  fi
  find "/proc/$1/fd" -lname 'socket:*' -printf '%l\n' 2>/dev/null | grep -qxF -e "$sockets"
}

wait_for_new_worker() { # until a worker that was not there before is ready; 1 with `failure` when none comes
  local deadline attempt=0 seen=0 gone=0 failed
  now_ms
  deadline=$((now + RELOAD_SECONDS * 1000))
  while [ "$now" -lt "$deadline" ]; do
    discover
    # A master that executes itself anew has no command line for a moment.
    if [ -z "$root" ] && [ $((++gone)) -gt 20 ]; then
      failure=master-died
      return 1
    fi
    [ -z "$root" ] || gone=0
    if is_new "$worker"; then
      [ "$method/$style" != syn-drop/master-worker ] || [ "$window_started" -gt 0 ] || open_drop_window
      if answers "$worker"; then return 0; fi
      # Nobody to ask: it listens. Not at once where it should answer, since a worker that cannot bind
      # everything holds some sockets for 2.1 s before it gives up.
      if { ! can_ask || [ $((seen++)) -gt 30 ]; } && listens "$worker"; then return 0; fi
    elif [ $((++attempt % 10)) -eq 0 ] && failed=$(failed_reloads) && [ "$failed" -gt "$failed_before" ]; then
      failure=reload-failed
      return 1
    fi
    sleep 0.02
    now_ms
  done
  failure=no-new-worker
  return 1
}

reload_master() { # USR2: the master loads the file and hands its sockets to a new worker
  failed_before=$(failed_reloads || printf 0)
  # Where it hands them over, the drop window waits for the new worker: parsing takes most of a reload.
  [ "$method" != syn-drop ] || hands_over || open_drop_window
  kill -USR2 "$root" && wait_for_new_worker
}

start_beside() { # a new process beside the old one, which nobody signals yet; fails at once where it cannot bind
  local file arguments=()
  for file in "${files[@]}"; do arguments+=(-f "$file"); done
  [ -z "$pidfile" ] || arguments+=(-p "$pidfile")
  run_haproxy -D ${options[@]+"${options[@]}"} "${arguments[@]}" "$@" >"$START_LOG" 2>&1 && return 0
  failure='start-failed'
  log+=$(head -c 2000 "$START_LOG")$'\n'
  detail=$(grep -m 3 -F -e ALERT "$START_LOG")
  return 1
}

stop_processes() { # PIDS: finish what they have, accept nothing new; back when none of them listens
  local pid attempt
  kill -USR1 "$@" 2>/dev/null
  for pid in "$@"; do
    for attempt in {1..50}; do
      listens "$pid" || break
      sleep 0.02
    done
  done
}

# Both processes cannot listen at a time: one of them has no SO_REUSEPORT, or both want the same abstract socket.
cannot_share() {
  grep -q '^R.noreuseport' "$OLD_MODEL" "$NEW_MODEL" ||
    [ -n "$(comm -12 <(abstract_sockets "$OLD_MODEL") <(abstract_sockets "$NEW_MODEL"))" ]
}

abstract_sockets() { # MODEL: those that it listens on
  grep -E $'^R\t((dgram-)?bind|stats[ \t]+socket)[ \t]' "$1" | grep -oE $'abnsz?@[^ \t,"\']+' | sort -u
}

reload_daemon() { # new process first, so that the drop window covers only the old one's stop
  local old=("${roots[@]}") pid others=()
  if [ "$handover" = socket ] && ! start_beside -x "${fact["$present.exposed"]}"; then
    # The process runs another file than the one that was found: it hands nothing over.
    grep -qF "sockets from the old process" "$START_LOG" || return 1
    do_without_sockets
  fi
  if [ "$handover" != socket ] && cannot_share; then
    method=syn-drop && open_drop_window
    start_beside -sf "${old[@]}" && wait_for_new_worker
    return
  fi
  [ "$handover" = socket ] || start_beside || return 1
  wait_for_new_worker || return 1
  # To a master, SIGUSR1 is the end of a service that systemd then starts again.
  for pid in "${old[@]}"; do [ "$pid" = "$root" ] || [[ "$masters" == *" $pid "* ]] || others+=("$pid"); done
  if [ "$method" = syn-drop ]; then
    open_drop_window
    let_handshakes_end
  fi
  stop_processes ${others[@]+"${others[@]}"}
}

reload_unit() { # a daemon that systemd started must stay in its unit
  [ "$method" != syn-drop ] || open_drop_window
  timeout --foreground "$RELOAD_SECONDS" systemctl reload "$unit" 9>&- </dev/null >"$START_LOG" 2>&1 || :
  wait_for_new_worker
}

watch_worker() { # the new worker lives through the watch window; an early death is a failure
  local identity=$worker_id attempt gone=0 replaced=0 attempts=$((WATCH_SECONDS * 5))
  # Who cannot be asked is watched for longer than HAProxy tries to bind (2.1 s).
  can_ask || attempts=$((attempts * 3 / 2))
  for ((attempt = 0; attempt < attempts; attempt++)); do
    sleep 0.2
    discover
    [ "$worker_id" != "$identity" ] || continue
    # Somebody else's reload has a moment without a command line, a restart of the unit one without any worker.
    [ -n "$worker" ] || [ $((++gone)) -gt $((${#unit} > 0 ? 5 : 1)) ] || continue
    # Somebody else's reload: a worker that is younger still is the one to watch.
    is_new "$worker" && is_younger "$identity" && [ $((++replaced)) -le 2 ] || { failure='worker-died' && return 1; }
    identity=$worker_id attempt=0
  done
}

is_younger() { # IDENTITY: the present worker began after that one
  local than=${1#* } began=${worker_id#* }
  [ "${began% *}" -gt "${than% *}" ]
}

choose_method() { # into `method` and `handover`: what was asked for, as far as this host can
  method=$SSM_ReloadMethod handover=""
  [ "$method" != syn-drop ] || return 0
  method=seamless
  if [ "$style" = master-worker ] && hands_over; then
    handover=master
  elif [ "$style" = daemon ] && [ -z "$unit" ] && exposes_listeners; then
    handover=socket
  else
    do_without_sockets
  fi
}

do_without_sockets() { # the kernel moves what waits on a daemon's listeners, or there is a drop window
  handover=""
  if [ "$method" = seamless ] && [ "$style" = daemon ] && migrate_handshakes; then handover=kernel; else method=syn-drop; fi
}

exposes_listeners() { [ -n "${fact["$present.exposed"]}" ] && ask "${fact["$present.exposed"]}" "show info" >/dev/null; }

hands_over() { [ -n "${fact["$present.exposed"]}" ] || is_at_least 2 6; } # the master, its listening sockets

is_at_least() { # MAJOR MINOR of the HAProxy version
  local major=${version%%.*} minor=${version#*.}
  minor=${minor%%[!0-9]*}
  [ "${major:-0}" -gt "$1" ] || { [ "${major:-0}" -eq "$1" ] && [ "${minor:-0}" -ge "$2" ]; }
}

# Lines of `show servers state` for the new worker. A server keeps what the present one knows of it, unless that is
# our own doing or the file says something new. One that is new, or has a new address, is born DOWN one good check
# below its `rise`, if its backend has another one that is UP. Lines of servers that no file names stay: HAProxy drops
# what it has not.
# 20 fields are all that HAProxy asks for. With those after them (TLS, ports and addresses of checks) it would
# overrule the file.
readonly MERGE_STATE='
function is_literal(text) { return text ~ /^[0-9.]+$/ || text ~ /:/ }
input == "old" || input == "new" {
  if (/^R\t((preset|set|reset|unset)env|[.](if|elif|else|endif))([ \t]|$)/) settings[input] = settings[input] $0 "\n"
  if ($1 != "S" && $1 != "T") next
  split($0, f, "\t")
  if (f[2] ~ /\$/) named[input] = named[input] f[2] " " f[3] " " f[4] "\n"
  if (f[3] ~ /^ipv6@\*?$/) f[3] = "::"
  sub(/^(ipv|tcp)[46]?@/, "", f[3])
  n = ++places[input, f[2]]
  address[input, f[2], n] = spelt_out(tolower(f[3])); port[input, f[2], n] = f[4]
  unclear = (f[5] " " f[9]) ~ /\$|(^| )not-understood( |$)/
  agent = " " f[9]; sub(/.* no-agent-check/, "", agent)
  if (f[7] || unclear || agent ~ / agent-check( |$)/ || f[9] ~ /(^| )track /) watched[input, f[2]] = 1
  if (input == "new" && f[8]) off[input, f[2]] = 1
  if ($1 == "S" && input == "new") { rise[f[2]] = f[6]; checked[f[2]] = f[7]; weight_at_birth[f[2]] = f[5] }
  if (unclear) vague[input, f[2]] = 1
  # What a variable or a condition decides, HAProxy compares.
  if (f[5] ~ /\$/ || n > 1) { delete weight[input, f[2]]; delete disabled[input, f[2]]; next }
  weight[input, f[2]] = f[5]; disabled[input, f[2]] = f[8]
  next
}
input == "touched" { touched[$1] = 1; next }
/^#/ || NF < 19 { print; next }
function entry_of(name) { # a server stands in the file by its name, those of a template by the prefix
  if (("new", name) in places) return name
  while (sub(/[0-9]$/, "", name)) if (("new", name "*") in places) return name "*"
  return ""
}
function is_same(entry, i) {
  return address["old", entry, i] == address["new", entry, i] && port["old", entry, i] == port["new", entry, i]
}
function is_at(entry, i,    a, p) {
  a = address["new", entry, i]; p = port["new", entry, i]
  if (a ~ /^_/) return tolower($20) == a # SRV records: name and port come from the DNS
  # What variables say is compared as text, and with what sets them; so is a socket, which HAProxy does not show.
  if (a p ~ /\$/) return settings["old"] == settings["new"] && ("old", entry, i) in address && is_same(entry, i)
  if (a ~ /^\/|@/) return !(("old", entry, i) in address) || address["old", entry, i] == a
  if ((is_literal(a) ? spelt_out($5) : tolower($18)) != a) return 0
  return p !~ /^([-+]?[0-9]+|-)$/ || p + 0 == $19
}
function has_moved(entry,    i, n) {
  # A server without an entry is one of another file, or a variable is in its name.
  if (entry == "") return named["new"] != "" && (named["old"] != named["new"] || settings["old"] != settings["new"])
  n = places["new", entry]
  # Which of several is meant, only HAProxy knows: where one has changed, or what decides, the file has its way.
  if (n > 1 && settings["old"] != settings["new"]) return 1
  for (i = 1; n > 1 && i <= n; i++) if (places["old", entry] != n || !is_same(entry, i)) return 1
  for (i = 1; i <= n; i++) if (is_at(entry, i)) return 0
  return 1
}
function obey_file(name,    w, d, had, was, is_vague, is_known) {
  # What counts is a change of the file: from the one that the worker is proven to run, which changes at run time
  # brought up to date; else from what HAProxy remembers of its start.
  # Where something else may say more, only what this line said and says no more; HAProxy compares the rest.
  is_vague = ("new", name) in vague
  is_known = ("old", name) in weight && is_vague == (("old", name) in vague)
  w = weight["new", name]; had = is_known ? weight["old", name] : is_vague ? w : $9
  d = disabled["new", name]; was = is_known ? disabled["old", name] : is_vague ? d : int($7 / 4) % 2
  if (had != w) $8 = w
  if (had != w || !is_vague) $9 = w
  # 4: `disabled` in the file; 1: maintenance.
  if (d && !was) $7 = 5
  else $7 += 4 * (d - int($7 / 4) % 2) - (!d && (was || is_vague && int($7 / 4) % 2) && $7 % 2)
}
{
  name = $2 "/" $4
  backend_id[$2] = $1
  entry = entry_of(name)
  if (name in touched || has_moved(entry)) next
  carried[name] = 1
  if (("new", name) in weight) obey_file(name)
  else if (entry != "" && int($7 / 4) % 2 && !(("new", entry) in off)) $7 -= 4 + $7 % 2
  # Without a check, nothing would ever say that it is UP again: also not after a maintenance that HAProxy does not
  # carry over, of a name that had no address (32) or of a tracked server (2).
  if (entry != "" && !(("new", entry) in watched) && $7 % 2 == 0 && int($7 / 4) % 2 == 0) $6 = 2
  if (entry != "" && ($6 == 1 || $6 == 2) && $7 == 0 && $8 > 0) up[$2] = 1 # 3: takes no new sessions
  line = $1
  for (i = 2; i <= NF && i <= 20; i++) line = line " " $i
  print line
}
END {
  for (name in checked) {
    split(name, part, "/")
    a = address["new", name, 1]; p = port["new", name, 1]; w = weight_at_birth[name]
    if (carried[name] || !checked[name] || disabled["new", name] || !up[part[1]] || !is_literal(a) || p !~ /^[0-9]+$/) continue
    print backend_id[part[1]], part[1], 0, part[2], a, 0, 0, w, w, 0, 1, 0, (rise[name] > 1 ? rise[name] - 1 : 0), 6, 0, 0, 0, "-", p, "-"
  }
}
'

save_server_state() { # the new worker believes of the servers what the present one knows
  forget_server_state # a run that was killed leaves one
  local asked=${fact["$present.socket"]} file=${fact["$awaited.state"]} proven_model=/dev/null answer
  [ -n "$socket_tool" ] && [ -n "$asked" ] || { note server-state-not-saved && return; }
  [ -n "$file" ] || { note server-state-not-configured && return; }
  answer=$(ask "$asked" "show servers state")
  [[ $answer == 1$'\n#'* ]] || { note server-state-not-saved && return; }
  [ -e "$TOUCHED" ] || : >"$TOUCHED"
  if [ "$proven" = "${fallback_md5:-$md5_before} $worker_id" ]; then
    proven_model=$OLD_MODEL
  elif grep -qsx "M.${running_md5:-[0-9a-f]*} $worker_id" "$PROVEN_MODEL"; then
    # Somebody edited the file since, or a change at run time stopped half-way: what that one did is in TOUCHED.
    proven_model=$PROVEN_MODEL
  fi
  awk "$SPELT_OUT$MERGE_STATE" input=old "$proven_model" input=new "$STATE_DIR/$awaited.model" \
    input=touched "$TOUCHED" input=state - <<<"$answer" >"$file.new" &&
    mv -f "$file.new" "$file" || note server-state-not-saved
}

forget_server_state() { # a start much later must not believe it
  local file=${fact["$awaited.state"]}
  [ -z "$file" ] || [ ! -s "$file" ] || { printf '1\n' >"$file.new" && mv -f "$file.new" "$file"; } || :
}

# FILE (old or new), which is live: HAProxy runs it and its new worker is proven; otherwise 1, and `failure` says why.
reload() {
  window_started=0
  find_present
  awaited=$1
  choose_method
  remember_processes
  save_server_state
  case $style/${unit:+unit} in
    master-worker/*) reload_master ;;
    daemon/unit) reload_unit ;;
    *) reload_daemon ;;
  esac
  local status=$?
  close_drop_window
  [ $status -eq 0 ] && watch_worker || status=1
  forget_server_state
  [ $status -eq 0 ] && rm -f "$TOUCHED" && half_changed=""
}

start_again() { # HAProxy died of the new file: start it with the old one, the way it ran before
  if [ -n "$unit" ]; then
    timeout --foreground "$RELOAD_SECONDS" systemctl restart "$unit" 9>&- </dev/null >"$START_LOG" 2>&1
  else
    start_beside ${is_master:+"$is_master"} ${master_socket:+-S "$master_option"}
  fi
  wait_for_new_worker
}

prove() { # the present worker runs the live file: written last, since it is the proof
  running_md5=$md5_after
  installed=$md5_after
  proven="$md5_after $worker_id"
  save_state || note state-not-saved
  # What the worker was proven to run, for the day when somebody has edited the file since.
  { printf 'M\t%s\n' "$proven" && cat "$STATE_DIR/$awaited.model"; } >"$PROVEN_MODEL.new" &&
    mv -f "$PROVEN_MODEL.new" "$PROVEN_MODEL" || note state-not-saved
}

find_present() { # into `present`: the file on whose socket the worker answers, of several the one that was expected
  for awaited in "$present" old new; do
    ! answers "$worker" || { present=$awaited && return; }
  done
}

still_answers() { # a failed start takes the stats socket away from the old process
  ! can_ask || [ ! -S "${fact["$awaited.socket"]}" ] || answers "$worker"
}

roll_back() { # old file, old behaviour, proven again; or says loudly that it is worse than before
  local before=$1 reason=$failure why=$detail
  restore_file || finish 30 failed rollback-failed "$reason; $live could not be restored"
  awaited=old
  discover
  [ "$worker_id" = "$before" ] || present=new
  if [ -z "$root" ]; then
    start_again || finish 30 failed rollback-failed "$reason; HAProxy does not start with the old file"
  elif [ "$worker_id" != "$before" ] || [ -n "$half_changed" ] || ! listens "$worker"; then
    reload old || finish 30 failed rollback-failed "$reason; HAProxy does not reload the old file: $failure"
  elif ! still_answers && ! reload old; then
    note stats-socket-lost
    discover
  fi
  if [ "$worker_id" != "$before" ] || [ "$running_md5" = "$md5_after" ]; then prove; else save_state || note state-not-saved; fi
  [ "$md5_after" != "$SSM_Md5" ] || finish 32 failed "$reason" "$why"
  finish 20 rolled-back "$reason" "$why"
}

# --- the change without a reload ---

# From the models of both files and the present server state to steps, adds first:
# STEP backend/name address port weight options.
# Status 1 where a new process is needed: a change that the Runtime API cannot make, or makes with a loss.
readonly RUNTIME_STEPS='
FILENAME == ARGV[1] { if ($1 == "S") old[$2] = $0; next }
FILENAME == ARGV[2] { if ($1 == "S") { new[$2] = $0; order[++count] = $2 } next }
split($0, f, " ") >= 19 && f[1] != "#" {
  runs[f[2] "/" f[4]] = 1
  if ((f[6] == 1 || f[6] == 2) && f[7] == 0 && f[8] > 0) is_up[f[2] "/" f[4]] = 1 # 3: takes no new sessions
}
# Out of the balance by a step, be it until a check is good; one that is removed stays till then.
function goes(name,    n, o) {
  if (!(name in old) || !(name in new)) return 0
  split(old[name], o, "\t"); split(new[name], n, "\t")
  return n[8] != o[8] || n[5] != o[5] && n[5] == 0 || n[7] && (n[3] != o[3] || n[4] != o[4])
}
function unfit() { failed = 1; exit 1 }
function step(what, name) { split(new[name], n, "\t"); print what, name, n[3], n[4], n[5], n[7], n[9] }
END {
  if (failed) exit 1
  for (name in is_up) if (!goes(name)) { split(name, part, "/"); stay[part[1]]++; stays[name] = 1 }
  for (name in runs) if (!(name in old)) print "forget", name, "-", "-", "-", "-", "-"
  for (i = 1; i <= count; i++) {
    name = order[i]
    if (name in old && old[name] == new[name]) continue
    split(new[name], n, "\t")
    if (n[3] !~ /^([0-9]+[.][0-9]+[.][0-9]+[.][0-9]+|[0-9a-fA-F:]*:[0-9a-fA-F:.]*)$/ || n[4] !~ /^[0-9]+$/) unfit()
    if (!(name in old)) { step(n[8] ? "add-disabled" : "add", name); continue }
    split(old[name], o, "\t")
    if (n[9] != o[9] || n[8] != o[8] && n[9] ~ /on-marked-down/) unfit()
    split(name, part, "/")
    if (n[3] != o[3] || n[4] != o[4]) {
      if (n[8] || o[8] || n[9] ~ /on-marked-down/ || stay[part[1]] - stays[name] < 1) unfit()
      step("move", name)
    }
    if (n[5] != o[5]) step("weigh", name)
    if (n[8] != o[8]) step(n[8] ? "stop" : "resume", name)
  }
  for (name in old) if (!(name in new)) {
    if (old[name] ~ /on-marked-down/) unfit()
    print "remove", name, "-", "-", "-", "-", "-"
  }
}
'

instruct() { # COMMAND [EXPECTED]: the worker did it; 1 for any other answer
  local answer
  answer=$(ask "${fact["$present.socket"]}" "$1") || answer="no answer"
  [[ $answer =~ ^[[:space:]]*(${2:-})[[:space:]]*$ ]] || { log+="$1: $answer"$'\n' && return 1; }
}

warm() { # SERVER CHECKED: out of maintenance, but DOWN until a check is good; a server that is never checked is ready
  [ "$2" = 1 ] || { instruct "set server $1 state ready" && return; }
  # Leaving maintenance makes a server UP, so it leaves into drain, is put DOWN there, and only then is ready.
  instruct "set server $1 state drain" && instruct "enable health $1" && instruct "set server $1 health down" &&
    instruct "set server $1 state ready" && warming+=("$1")
}

take_step() { # one line of RUNTIME_STEPS
  local step=$1 name=$2 address=$3 port=$4 weight=$5 checked=$6 keywords=${7#-}
  case $step in
    add | add-disabled)
      [[ $address != *:* ]] || address="[$address]"
      instruct "add server $name $address:$port weight $weight $keywords" "New server registered\." || return 1
      [[ " $keywords " != *" agent-check "* ]] || instruct "enable agent $name" || return 1
      [ "$step" = add-disabled ] || warm "$name" "$checked"
      ;;
    move)
      instruct "set server $name state maint" &&
        instruct "set server $name addr $address port $port" ".*changed from.*" && warm "$name" "$checked"
      ;;
    forget) instruct "del server $name" "Server deleted\\." || staying+=("$name") ;; # since an earlier run
    weigh) instruct "set server $name weight $weight" ;;
    stop) instruct "set server $name state maint" ;;
    resume) warm "$name" "$checked" ;;
    remove) leaving+=("$name") && return 0 ;;
  esac
}

let_warm() { # servers with a good check are UP at once; those without one in time come up by themselves
  local name attempt waiting
  for ((attempt = 0; attempt < WARM_SECONDS * 5 && ${#warming[@]} > 0; attempt++)); do
    sleep 0.2
    waiting=()
    read_check_results
    for name in "${warming[@]}"; do
      [ "${check_result[$name]-}" = 3 ] && instruct "set server $name health up" || waiting+=("$name")
    done
    warming=(${waiting[@]+"${waiting[@]}"})
  done
  [ ${#warming[@]} -eq 0 ] || note servers-not-up-yet
}

read_check_results() { # into `check_result`: 3 is passed
  local words name
  check_result=()
  while read -r -a words; do
    [ ${#words[@]} -ge 19 ] || continue
    name=${words[1]}/${words[3]}
    check_result[$name]=${words[11]}
  done < <(ask "${fact["$present.socket"]}" "show servers state")
}

let_leave() { # out of the balance now; deleted once idle, or left in maintenance, where nothing reaches them
  local name attempt waiting
  for name in ${leaving[@]+"${leaving[@]}"}; do instruct "set server $name state maint" || return 1; done
  for attempt in 1 2 3 4 5; do
    waiting=()
    for name in ${leaving[@]+"${leaving[@]}"}; do
      instruct "del server $name" "Server deleted\." || waiting+=("$name")
    done
    leaving=(${waiting[@]+"${waiting[@]}"})
    [ ${#leaving[@]} -gt 0 ] || return 0
    sleep 0.2
  done
  staying+=("${leaving[@]}")
  note servers-left-in-maintenance
}

remember_touched() { # SERVERS: what the worker says of them is our doing; durable, since no reload may carry it over
  printf '%s\n' "$@" | dd of="$TOUCHED.new" conv=fsync 2>/dev/null && mv -f "$TOUCHED.new" "$TOUCHED"
}

runs_model() { # MODEL: the worker has these servers with these addresses, and no other one in use
  ask "${fact["$present.socket"]}" "show servers state" | awk "$SPELT_OUT"'
    FILENAME == ARGV[1] { if ($1 == "S") { split($0, f, "\t"); want[f[2]] = spelt_out(f[3]) " " f[4] } next }
    NF < 19 || /^#/ { next }
    { name = $2 "/" $4; lines++ }
    !(name in want) { if ($7 % 2 == 0) bad = 1; next }
    want[name] != spelt_out($5) " " $19 { bad = 1 }
    { delete want[name] }
    END { for (name in want) bad = 1; exit bad || !lines }' "$1" -
}

# The running worker has the servers of the live file and nothing was reloaded; 1: a reload has to do it.
change_at_runtime() {
  local steps step warming=() leaving=() staying=()
  local -A check_result=()
  # Only from what the worker is proven to run, over a socket that may change it, with one file, and if nothing but
  # servers differs.
  [ "$running_md5" = "$md5_before" ] && [ -n "$socket_tool" ] && [ "${fact["$present.level"]}" = admin ] || return 1
  [ ${#files[@]} -eq 1 ] && [ -f "${files[0]}" ] || return 1
  [ "$(grep -e "^[RGB]" "$OLD_MODEL")" = "$(grep -e "^[RGB]" "$NEW_MODEL")" ] || return 1
  steps=$(ask "${fact["$present.socket"]}" "show servers state" | awk -F '\t' -v OFS='\t' "$RUNTIME_STEPS" "$OLD_MODEL" "$NEW_MODEL" -) || return 1
  [ "$(wc -l <<<"$steps")" -le $MAX_STEPS ] && runs_model "$OLD_MODEL" || return 1
  # A kill from here on leaves a worker that is proven to run nothing, which the next run repairs.
  proven="" running_md5="" half_changed=yes
  mapfile -t step < <(cut -f 2 <<<"$steps" && cat "$TOUCHED" 2>/dev/null)
  remember_touched "${step[@]}" && save_state || return 1
  while IFS=$'\t' read -r -a step; do
    [ ${#step[@]} -eq 0 ] || take_step "${step[@]}" || return 1
  done <<<"$steps"
  let_warm
  let_leave && runs_model "$NEW_MODEL" || return 1
  remember_touched ${staying[@]+"${staying[@]}"} && half_changed=""
  method=runtime
}

# --- the run ---

unchanged() { # file and running process are as wanted: writes only a newer generation
  if [ "$SSM_Generation" -gt "$highest_generation" ] || [ "$installed" != "$SSM_Md5" ]; then
    highest_generation=$SSM_Generation installed=$SSM_Md5
    save_state || note state-not-saved
  fi
  [ ! -e "$candidate" ] || rm -f -- "$candidate" "$saved"
  finish 0 unchanged "$1"
}

activate() { # OUTCOME REASON: reload, prove, or roll back
  local before=$worker_id
  find_unit
  if [[ $SSM_ReloadMethod =~ ^(runtime|auto)$ ]] && change_at_runtime; then
    prove
    finish 0 "$1" "$2"
  fi
  reload new || roll_back "$before"
  prove
  finish 0 "$1" "$2"
}

main() {
  trap interrupted EXIT
  trap 'exit 31' TERM INT HUP
  read_parameters
  lock
  load_state
  sweep_drop_rules
  digest
  [ -z "$md5_before" ] || fact["old.pidfile"]=$(awk '$1 == "pidfile" { gsub(/["\r]/, "", $2); print $2; exit }' "$live")
  discover
  find_running_digest
  [ "$SSM_Generation" -ge "$highest_generation" ] ||
    finish 0 superseded older-generation "this host has fence $highest_generation"
  [ -n "$downloaded_md5" ] || finish 14 failed download-missing "no haproxy.cfg in $PWD"
  [ "$downloaded_md5" = "$SSM_Md5" ] || finish 15 failed checksum-mismatch "MD5 of the download is $downloaded_md5"
  if [ "$md5_before" = "$SSM_Md5" ]; then
    [ "$running_md5" != "$SSM_Md5" ] || unchanged same-digest
    [ -n "$root" ] || { [ -n "$other_file" ] || finish 0 not-running stopped; }
  fi
  [ -n "$root" ] || [ -z "$other_file" ] || finish 16 failed config-not-used "HAProxy runs with -f $other_file"
  find_binary
  copy_candidate
  cd / # where services run: relative names in the file mean the same to a check and to a start
  check_candidate
  find_socket_tool
  read_models
  check_directories
  [ -z "$root" ] || [ -z "$md5_before" ] || check_binds
  local outcome=installed reason=changed
  if [ "$md5_before" = "$SSM_Md5" ]; then
    outcome=repaired reason=not-activated
  elif [ -n "$installed" ] && [[ " $installed " != *" ${md5_before:-none} "* ]]; then
    outcome=repaired reason=hand-edit
  elif [ -z "$md5_before" ]; then
    reason=no-file-before
  fi
  [ $reason = not-activated ] || back_up
  install_candidate
  if [ -z "$root" ]; then
    proven="" installed=$SSM_Md5
    save_state || note state-not-saved
    finish 0 not-running stopped
  fi
  [ "$running_md5" != "$SSM_Md5" ] || { prove && finish 0 $outcome $reason; }
  activate $outcome $reason
}

main
