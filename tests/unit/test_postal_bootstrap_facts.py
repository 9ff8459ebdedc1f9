"""The runner script names only what real Postal has: models, columns, methods, from its source at 3.3.6.

The table was written from app/models and db/schema.rb of postalserver/postal 3.3.6. The script was also run against
real Postal by hand; this test keeps later edits from drifting away from it.
"""

import re
from pathlib import Path

import pytest

from mailstack.postal import provisioning

RUNNER = Path("roles/postal/runner")
SCRIPT = (RUNNER / "bootstrap.rb").read_text(encoding="utf-8")
FINGERPRINT = (RUNNER / "fingerprint.rb").read_text(encoding="utf-8")

# db/schema.rb
COLUMNS = {
    "users": "uuid first_name last_name email_address password_digest time_zone email_verified_at admin",
    "organizations": "uuid name permalink time_zone ip_pool_id owner_id deleted_at suspended_at",
    "organization_users": "organization_id user_id admin all_servers user_type",
    "organization_ip_pools": "organization_id ip_pool_id",
    "servers": (
        "organization_id uuid name mode ip_pool_id permalink send_limit deleted_at message_retention_days "
        "raw_message_retention_days raw_message_retention_size allow_sender token spam_threshold "
        "spam_failure_threshold postmaster_address outbound_spam_threshold domains_not_to_click_track log_smtp_data "
        "privacy_mode"
    ),
    "domains": (
        "uuid name verification_token verification_method verified_at dkim_private_key dns_checked_at spf_status "
        "spf_error dkim_status dkim_error mx_status mx_error return_path_status return_path_error outgoing incoming "
        "owner_type owner_id dkim_identifier_string use_for_any"
    ),
    "credentials": "server_id key type name hold uuid",
    "http_endpoints": "server_id uuid name url encoding format strip_replies include_attachments timeout",
    "smtp_endpoints": "server_id uuid name hostname ssl_mode port",
    "address_endpoints": "server_id uuid address",
    "routes": "uuid server_id domain_id endpoint_id endpoint_type name spam_mode token mode",
    "additional_route_endpoints": "route_id endpoint_type endpoint_id",
    "track_domains": (
        "uuid server_id domain_id name dns_checked_at dns_status dns_error ssl_enabled track_clicks track_loads "
        "excluded_click_domains"
    ),
    "webhooks": "server_id uuid name url all_events enabled sign",
    "webhook_events": "webhook_id event",
    "ip_pools": "name uuid default",
    "ip_addresses": "ip_pool_id ipv4 ipv6 hostname priority",
}
# app/models: class => (table, associations and methods of its own that a script may call)
MODELS = {
    "User": ("users", "password= email_address"),
    "Organization": ("organizations", "owner soft_destroy"),
    "OrganizationUser": ("organization_users", "organization user"),
    "OrganizationIPPool": ("organization_ip_pools", "organization ip_pool"),
    "Server": ("servers", "organization ip_pool provision_database= full_permalink soft_destroy"),
    "Domain": ("domains", "owner dkim_record_name dkim_record check_dns"),
    "Credential": ("credentials", "server"),
    "HTTPEndpoint": ("http_endpoints", "server"),
    "SMTPEndpoint": ("smtp_endpoints", "server"),
    "AddressEndpoint": ("address_endpoints", "server"),
    "Route": ("routes", "server domain endpoint additional_route_endpoints_array additional_route_endpoints_array="),
    "TrackDomain": ("track_domains", "server domain check_dns"),
    "Webhook": ("webhooks", "server events events="),
    "IPPool": ("ip_pools", ""),
    "IPAddress": ("ip_addresses", "ip_pool"),
}
# What a class of Active Record answers to (7.1), as far as the script uses it.
CLASS_METHODS = {"find", "find_by", "new", "where", "connection", "maximum", "column_names", "transaction", "fetch"}
# lib/postal/config_schema.rb
CONFIG = {"message_db.database_name_prefix", "dns.dkim_identifier"}
# What of the declaration the script takes apart itself instead of handing it to a column.
NOT_COLUMNS = {
    "users": set(),
    "ip_pools": {"addresses"},
    "addresses": set(),
    "organizations": {"users", "ip_pools", "domains", "servers"},
    "servers": {"domains", "credentials", "routes", "track_domains", "webhooks", *provisioning.ENDPOINT_GROUPS},
    "routes": {"additional_endpoints"},
    "webhooks": {"events"},
}
OTHER_CONSTANTS = {
    "ActiveRecord",
    "ActiveRecordError",
    "Base",
    "Base64",
    "Bootstrap",
    "Config",
    "Digest",
    "Error",
    "JSON",
    "KeyError",
    "Mysql2",
    "OpenSSL",
    "PKey",
    "Postal",
    "RSA",
    "Refusal",
    "Regexp",
    "Rollback",
    "SHA256",
    "StandardError",
    "Time",
}


def code(text: str) -> str:
    """The script without comments."""
    return re.sub(r"^\s*#.*$|\s# .*$", "", text, flags=re.MULTILINE)


def without_texts(text: str) -> str:
    """The script's own words: no comments, no texts (and nothing that is put into a text)."""
    return re.sub(r'"(?:[^"\\\n]|\\.)*"', '""', re.sub(r"#\{[^{}]*\}|%w\[[^\]]*\]", "", code(text)))


def test_every_class_it_names_is_one_of_postals() -> None:
    named = set(re.findall(r"(?<![A-Za-z_:.])([A-Z][A-Za-z]*[a-z][A-Za-z0-9]*)\b", without_texts(SCRIPT)))
    assert named - OTHER_CONSTANTS <= set(MODELS)
    assert set(MODELS) <= named


def test_every_class_method_it_calls_exists() -> None:
    calls = re.findall(rf"\b({'|'.join(MODELS)})\.([a-z_]+)", code(SCRIPT))
    assert calls
    assert {method for _, method in calls} <= CLASS_METHODS


def test_every_configuration_key_it_reads_is_postals() -> None:
    assert set(re.findall(r"Postal::Config\.([a-z_]+\.[a-z_]+)", SCRIPT)) <= CONFIG


@pytest.mark.parametrize("kind", sorted(provisioning.KINDS))
def test_everything_that_can_be_declared_is_a_column_or_association(kind: str) -> None:
    table = {"addresses": "ip_addresses"}.get(kind, kind)
    known = set(COLUMNS[table].split())
    for model_table, methods in MODELS.values():
        if model_table == table:
            known |= {name.rstrip("=") for name in methods.split()}
    assert set(provisioning.KINDS[kind]) - NOT_COLUMNS.get(kind, set()) <= known


def test_every_method_of_a_record_it_calls_is_postals_or_active_records() -> None:
    own = {name.rstrip("=") for _, methods in MODELS.values() for name in methods.split()}
    columns = {column for listed in COLUMNS.values() for column in listed.split()} | {"id"}
    record = {
        "assign_attributes",
        "new_record?",
        "changed",
        "save!",
        "update_columns",
        "update_column",
        "destroy!",
        "respond_to?",
        "public_send",
        "class",
        "nil?",
    }
    variables = "record|domain|server|user|pool|additional|track|organization"
    called = set(re.findall(rf"\b(?:{variables})&?\.([a-z_]+[?!]?)", code(SCRIPT)))
    assert called - own - columns - record == set()


def test_the_quick_look_reads_only_columns_that_exist() -> None:
    listed = re.findall(r'"(\w+)" => %w\[([^\]]+)\]', FINGERPRINT)
    assert len(listed) == len(COLUMNS)
    for table, columns in listed:
        assert set(columns.split()) <= {*COLUMNS[table].split(), "id"}


def test_the_quick_look_covers_every_column_that_can_be_declared() -> None:
    listed = {table: set(columns.split()) for table, columns in re.findall(r'"(\w+)" => %w\[([^\]]+)\]', FINGERPRINT)}
    references = {"owner": "owner_id", "ip_pool": "ip_pool_id", "endpoint": "endpoint_id", "domain": "domain_id"}
    for kind, fields in provisioning.KINDS.items():
        table = {"addresses": "ip_addresses"}.get(kind, kind)
        declared = {references.get(name, name) for name in set(fields) - NOT_COLUMNS.get(kind, set())}
        assert declared <= listed[table], kind


def test_nothing_secret_can_leave_the_script() -> None:
    summary = SCRIPT[SCRIPT.index("def summary") :]
    assert not re.search(r"private|password|\.key\b|secrets", summary.replace("private key", ""))
