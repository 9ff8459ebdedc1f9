"""What differs between distributions and Postfix builds, in one table.

The role carries this module to the host, so it keeps to Python 3.6 and the standard library. What a build can
do is asked of the build (``postconf -d``, ``postconf -m``), never guessed from its version.
"""

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

__all__ = [
    "PLATFORMS",
    "REFERENCES",
    "Platform",
    "PlatformError",
    "cache_map_type",
    "map_type",
    "platform_of",
    "reference_values",
]


class PlatformError(ValueError):
    """The system is none of those in the table."""


class Platform(NamedTuple):
    """One family of distributions.

    ``packages`` are always installed, ``sasl_packages`` only when the upstream wants a password,
    ``selinux_packages`` only when a port needs a label. ``log_file`` is where postlogd(8) may write.
    ``competitors`` are other mail servers that may hold port 25 or /usr/sbin/sendmail.
    """

    family: str
    systems: Tuple[str, ...]
    packages: Tuple[str, ...]
    sasl_packages: Tuple[str, ...]
    selinux_packages: Tuple[str, ...]
    ca_file: str
    log_file: str
    log_owner: str
    competitors: Tuple[str, ...]
    # RHEL keeps several mail servers side by side and switches /usr/sbin/sendmail by alternatives(8).
    alternative: str


PLATFORMS = (
    Platform(
        family="debian",
        systems=("debian", "ubuntu"),
        packages=("postfix", "ca-certificates"),
        sasl_packages=("libsasl2-modules",),
        selinux_packages=(),
        ca_file="/etc/ssl/certs/ca-certificates.crt",
        log_file="/var/log/mailstack/postfix.log",
        log_owner="root",
        competitors=(
            "exim4-daemon-light",
            "exim4-daemon-heavy",
            "sendmail-bin",
            "opensmtpd",
            "courier-mta",
            "nullmailer",
            "msmtp-mta",
            "ssmtp",
            "dma",
            "esmtp-run",
        ),
        alternative="",
    ),
    Platform(
        family="rhel",
        systems=("rhel", "rocky", "almalinux", "centos", "ol", "fedora"),
        packages=("postfix", "ca-certificates"),
        sasl_packages=("cyrus-sasl-plain",),
        selinux_packages=("policycoreutils-python-utils",),
        ca_file="/etc/pki/tls/certs/ca-bundle.crt",
        # SELinux lets postlogd write below Postfix's data directory, and not in /var/log
        # (fedora-selinux/selinux-policy, postfix.te: postfix_master_t manages postfix_data_t).
        log_file="/var/lib/postfix/mailstack/postfix.log",
        log_owner="postfix",
        competitors=("sendmail", "exim", "opensmtpd", "esmtp", "ssmtp"),
        alternative="/usr/sbin/sendmail.postfix",
    ),
)

# Names a setting may refer to; the role fills them in from the host's facts.
REFERENCES = (
    "bare_newline",
    "ca_file",
    "compatibility_level",
    "log_file",
    "map_type",
    "session_cache",
    "tls_protocols",
)

# lmdb where it is built in (RHEL 10 has nothing else), Berkeley DB otherwise; texthash is in every build.
MAP_TYPES = ("lmdb", "hash", "texthash")
CACHE_TYPES = ("lmdb", "btree")


def platform_of(os_release: Dict[str, str]) -> Platform:
    """Return the table row for /etc/os-release: by ID, then by ID_LIKE. Raises PlatformError."""
    names = [os_release.get("ID", ""), *os_release.get("ID_LIKE", "").split()]
    for name in names:
        for platform in PLATFORMS:
            if name in platform.systems:
                return platform
    known = ", ".join(name for platform in PLATFORMS for name in platform.systems)
    raise PlatformError(f"{names[0] or 'this system'} is none of {known}")


def map_type(supported: Sequence[str]) -> str:
    """Return the indexed map type to use, from the output of ``postconf -m``."""
    return next(name for name in MAP_TYPES if name in supported or name == "texthash")


def cache_map_type(supported: Sequence[str]) -> Optional[str]:
    """Return the map type for caches that daemons write, or None where the build has none."""
    return next((name for name in CACHE_TYPES if name in supported), None)


def reference_values(
    platform: Platform, defaults: Dict[str, str], supported_maps: Sequence[str]
) -> Dict[str, Optional[str]]:
    """Return the value of each of REFERENCES on a host; None means: leave the parameter out.

    ``defaults`` is the output of ``postconf -d`` as a dictionary.
    """
    ranges = defaults.get("smtp_tls_mandatory_protocols", "").startswith(">=")
    cache = cache_map_type(supported_maps)
    modern = "smtpd_forbid_bare_newline_reject_code" in defaults
    return {
        # "normalize" came together with the reject code; builds before that only know yes and no.
        "bare_newline": "normalize" if modern else None,
        "ca_file": platform.ca_file,
        # 3.6 is the first level with a dot, and what this configuration is written for; before it, 2 is the last.
        "compatibility_level": "3.6" if _version(defaults) >= [3, 6] else "2",
        "log_file": platform.log_file,
        "map_type": map_type(supported_maps),
        "session_cache": cache and f"{cache}:$data_directory/smtp_scache",
        # The form with >= came with Postfix 3.6.
        "tls_protocols": ">=TLSv1.2" if ranges else "!SSLv2, !SSLv3, !TLSv1, !TLSv1.1",
    }


def _version(defaults: Dict[str, str]) -> List[int]:
    return [int(part) for part in defaults.get("mail_version", "0").split("-")[0].split(".")[:2] if part.isdigit()]
