# Carries a role to a host: reads a payload on stdin, unpacks it where only root can look, runs it, removes it.
# It comes as the first line of that payload, in base64, and is in $script (see LOADER in mailstack/bundle.py), with
# the arguments apply|check|remove and SECONDS. Then: one line of JSON (settings and secrets), and the role bundle as
# base64 of a tar, compressed by bzip2; Python unpacks it, since few hosts have that program.
# shellcheck shell=bash
set -euo pipefail
if [ "$(id -u)" -ne 0 ]; then
  sudo -n true 2>/dev/null || { echo "mailstack: $(id -un) needs sudo without a password on $(uname -n)" >&2; exit 1; }
  exec sudo -n -- bash -c "${script:?}" "$0" "$@"
fi
umask 077
python=$(command -v python3 || echo /usr/libexec/platform-python)
"$python" -c 'import bz2, json, ssl, tarfile' 2>/dev/null || { echo "mailstack: install python3 on $(uname -n) first" >&2; exit 1; }
work=$(mktemp -d /run/mailstack.XXXXXXXX)
trap 'rm -rf "$work"' EXIT
IFS= read -r input # the shell holds it; it never becomes an argument or a file
base64 -d | "$python" -c 'import bz2, sys; sys.stdout.buffer.write(bz2.decompress(sys.stdin.buffer.read()))' |
  tar -x -C "$work"
cd "$work"
role=$(cat ROLE)
# printf is a shell builtin: what it prints shows in no process list.
printf '%s\n' "$input" | PYTHONDONTWRITEBYTECODE=1 timeout --kill-after=30 "$2" "$python" -m "$role" "--$1"
