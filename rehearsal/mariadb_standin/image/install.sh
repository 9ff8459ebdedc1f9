#!/bin/sh
# Runs once, as root, while the stand-in image is built: packages.txt is installed, this folder is where it lies.
set -eu
folder=$(dirname "$(readlink -f "$0")")
mysql_id=999 # the official image's user; data directories are handed between the two

userdel mysql 2>/dev/null || true
groupadd --system --gid "$mysql_id" mysql
useradd --system --uid "$mysql_id" --gid mysql --home-dir /var/lib/mysql --no-create-home --shell /bin/sh mysql

rm -rf /var/lib/mysql
install -d -o mysql -g mysql -m 0750 /var/lib/mysql
install -d -o mysql -g mysql -m 1777 /run/mysqld
install -d /docker-entrypoint-initdb.d /etc/mysql/conf.d
install -m 0644 "$folder/image.cnf" /etc/mysql/mariadb.conf.d/05-image.cnf
for program in docker-entrypoint.sh healthcheck.sh; do
    install -m 0755 "$folder/$program" "/usr/local/bin/$program"
done

# Half of the image would be Perl, for tools nobody runs in a container.
perl_packages=$(dpkg-query -W -f '${Package}\n' | grep -E '^(perl|perl-modules-.*|libperl.*|libconfig-inifiles-perl)$')
# shellcheck disable=SC2086 # a list of package names
dpkg --purge --force-depends $perl_packages
rm -rf /usr/bin/mariadb-slap /usr/bin/mysqlslap /usr/bin/mariadb-conv /usr/bin/replace /usr/bin/resolve_stack_dump
rm -rf "$folder"
