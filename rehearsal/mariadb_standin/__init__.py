"""Stand-in for the official image ``docker.io/library/mariadb:10.11``, for machines that cannot pull it.

The server is real: Debian's MariaDB 10.11. What is imitated is the image around it, from its documentation
(hub.docker.com/_/mariadb, mariadb.com/kb/en/mariadb-docker-environment-variables). ``image/`` is a recipe folder
of :mod:`rehearsal.images`.

What is kept
    * ``MARIADB_ROOT_PASSWORD``, ``MARIADB_DATABASE``, ``MARIADB_USER``, ``MARIADB_PASSWORD``, each also as
      ``..._FILE``, ``MARIADB_ROOT_HOST``, ``MARIADB_ALLOW_EMPTY_ROOT_PASSWORD``. ``MARIADB_AUTO_UPGRADE`` is
      accepted and does nothing.
    * The first start, with an empty ``/var/lib/mysql``, sets everything up through a server without network and runs
      ``/docker-entrypoint-initdb.d/*.sh|*.sql|*.sql.gz``. A start with ``/var/lib/mysql/mysql`` in place changes
      nothing, also when the first one had been interrupted half way: the official image is the same there.
    * Started as root it hands the directories to ``mysql`` (uid and gid 999) and goes on as that user; started as
      that user it stays so. mariadbd becomes process 1 and stops in order on SIGTERM.
    * Settings in ``/etc/mysql/conf.d/*.cnf``; host names are not resolved; utf8mb4; socket in ``/run/mysqld``.
    * ``healthcheck.sh --connect --innodb_initialized``, with a login of its own in ``.my-healthcheck.cnf``.

What is not
    * Time zone tables, random root passwords, replication and Galera variables, the other checks of
      ``healthcheck.sh``, and the tools that need Perl.
"""
