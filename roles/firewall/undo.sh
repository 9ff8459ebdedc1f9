#!/bin/sh
# Puts the host's firewall back as it was before the last change that nobody confirmed. Copied to the host and started
# by systemd, by a timer or at the next boot; needs nothing of mailstack any more. "rollback" as first argument: the
# role itself asked for it, so nobody has to be told that the time ran out.
set -u
state=/var/lib/mailstack/firewall
saved=$state/undo
# From the file "before": what was there, and what the change has touched.
firewalld_active=no firewalld_enabled=no touches_ufw=no touches_firewalld=no
unit=mailstack-firewall-undo

put_files_back() {
  # A line is: name of the copy, or "-" for a file that was not there, then the path.
  while read -r copy path; do
    if [ "$copy" = - ]; then
      rm -f "$path"
    else
      cp -a "$saved/$copy" "$path.mailstack-undo" && mv -f "$path.mailstack-undo" "$path"
      if command -v restorecon >/dev/null 2>&1; then restorecon "$path"; fi
    fi
  done <"$saved/manifest"
}

put_ufw_back() {
  for init in /usr/lib/ufw/ufw-init /lib/ufw/ufw-init; do
    if [ -x "$init" ]; then
      "$init" force-stop
      # Without ENABLED=yes in ufw.conf this starts nothing.
      "$init" start
      return
    fi
  done
}

put_firewalld_back() {
  systemctl unmask --runtime firewalld.service
  if [ "$firewalld_active" = yes ]; then
    # A reload keeps connections; a new start helps where the running one does not answer.
    { systemctl is-active --quiet firewalld.service && firewall-cmd --reload; } || systemctl restart firewalld.service
  else
    systemctl stop firewalld.service
  fi
  if [ "$firewalld_enabled" = yes ]; then
    systemctl enable firewalld.service
  else
    systemctl disable firewalld.service
  fi
}

put_container_filter_back() {
  if [ -e /etc/systemd/system/mailstack-docker-firewall.service ]; then
    # First without systemd: the file replaces the table in one step, and nothing is open in between.
    nft -f /etc/mailstack/docker-firewall.nft
    systemctl enable mailstack-docker-firewall.service
    systemctl restart mailstack-docker-firewall.service
  else
    nft delete table inet mailstack_containers 2>/dev/null
    rm -f /etc/systemd/system/*.wants/mailstack-docker-firewall.service
  fi
}

main() {
  # Whatever fails on the way, the rest is still done: half a firewall that lets SSH in is better than none of it.
  put_files_back
  systemctl daemon-reload
  # shellcheck source=/dev/null
  . "$saved/before"
  [ "$touches_ufw" = no ] || put_ufw_back
  [ "$touches_firewalld" = no ] || put_firewalld_back
  put_container_filter_back
  # Starting and stopping firewalld empties the tables in which Docker has its rules.
  if [ "$touches_firewalld" = yes ] && systemctl is-active --quiet docker.service; then
    systemctl restart docker.service
  fi
  if [ "${1:-}" != rollback ]; then date -u +%Y-%m-%dT%H:%M:%SZ >"$state/undone"; fi
  rm -rf "$saved"
  systemctl disable "$unit.service"
  rm -f "/etc/systemd/system/$unit.service" "/etc/systemd/system/$unit.timer"
  systemctl daemon-reload
  systemctl stop "$unit.timer"
}

# One line, read as a whole before it runs: the file deletes itself on the way.
main "$@"; exit 0
