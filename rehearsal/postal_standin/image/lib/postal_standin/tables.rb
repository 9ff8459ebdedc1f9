# frozen_string_literal: true

module PostalStandin
  # Tables of the main database the stand-in keeps, with Postal's names and column names: table => column => type.
  # A type is a symbol, or [type, options]. Postal's own tables that nothing here uses (authie_sessions,
  # track_certificates, user_invites) do not exist.
  YES = [:boolean, { default: true }].freeze
  NO = [:boolean, { default: false }].freeze
  SCORE = [:decimal, { precision: 8, scale: 2 }].freeze
  TIMES = { created_at: :datetime, updated_at: :datetime }.freeze

  TABLES = {
    users: {
      uuid: :string, first_name: :string, last_name: :string, email_address: :string, password_digest: :string,
      time_zone: :string, email_verification_token: :string, email_verified_at: :datetime,
      password_reset_token: :string, password_reset_token_valid_until: :datetime, admin: NO,
      oidc_uid: :string, oidc_issuer: :string, **TIMES
    },
    organizations: {
      uuid: :string, name: :string, permalink: :string, time_zone: :string, ip_pool_id: :integer, owner_id: :integer,
      deleted_at: :datetime, suspended_at: :datetime, suspension_reason: :string, **TIMES
    },
    organization_users: {
      organization_id: :integer, user_id: :integer, created_at: :datetime, admin: NO, all_servers: YES,
      user_type: :string
    },
    servers: {
      organization_id: :integer, uuid: :string, name: :string, mode: :string, ip_pool_id: :integer,
      permalink: :string, send_limit: :integer, deleted_at: :datetime, message_retention_days: :integer,
      raw_message_retention_days: :integer, raw_message_retention_size: :integer, allow_sender: NO, token: :string,
      send_limit_approaching_at: :datetime, send_limit_approaching_notified_at: :datetime,
      send_limit_exceeded_at: :datetime, send_limit_exceeded_notified_at: :datetime, spam_threshold: SCORE,
      spam_failure_threshold: SCORE, postmaster_address: :string, suspended_at: :datetime,
      outbound_spam_threshold: SCORE, domains_not_to_click_track: :text, suspension_reason: :string,
      log_smtp_data: NO, privacy_mode: NO, **TIMES
    },
    domains: {
      server_id: :integer, uuid: :string, name: :string, verification_token: :string, verification_method: :string,
      verified_at: :datetime, dkim_private_key: :text, dns_checked_at: :datetime, spf_status: :string,
      spf_error: :string, dkim_status: :string, dkim_error: :string, mx_status: :string, mx_error: :string,
      return_path_status: :string, return_path_error: :string, outgoing: YES, incoming: YES, owner_type: :string,
      owner_id: :integer, dkim_identifier_string: :string, use_for_any: :boolean, **TIMES
    },
    credentials: {
      server_id: :integer, key: :string, type: :string, name: :string, options: :text, last_used_at: :datetime,
      hold: NO, uuid: :string, **TIMES
    },
    routes: {
      uuid: :string, server_id: :integer, domain_id: :integer, endpoint_id: :integer, endpoint_type: :string,
      name: :string, spam_mode: :string, token: :string, mode: :string, **TIMES
    },
    additional_route_endpoints: { route_id: :integer, endpoint_type: :string, endpoint_id: :integer, **TIMES },
    http_endpoints: {
      server_id: :integer, uuid: :string, name: :string, url: :string, encoding: :string, format: :string,
      strip_replies: NO, error: :text, disabled_until: :datetime, last_used_at: :datetime, include_attachments: YES,
      timeout: :integer, **TIMES
    },
    smtp_endpoints: {
      server_id: :integer, uuid: :string, name: :string, hostname: :string, ssl_mode: :string, port: :integer,
      error: :text, disabled_until: :datetime, last_used_at: :datetime, **TIMES
    },
    address_endpoints: { server_id: :integer, uuid: :string, address: :string, last_used_at: :datetime, **TIMES },
    webhooks: {
      server_id: :integer, uuid: :string, name: :string, url: :string, last_used_at: :datetime, all_events: NO,
      enabled: YES, sign: YES, **TIMES
    },
    webhook_events: { webhook_id: :integer, event: :string, created_at: :datetime },
    webhook_requests: {
      server_id: :integer, webhook_id: :integer, url: :string, event: :string, uuid: :string, payload: :text,
      attempts: [:integer, { default: 0 }], retry_after: :datetime, error: :text, created_at: :datetime,
      locked_by: :string, locked_at: :datetime
    },
    track_domains: {
      uuid: :string, server_id: :integer, domain_id: :integer, name: :string, dns_checked_at: :datetime,
      dns_status: :string, dns_error: :string, ssl_enabled: YES, track_clicks: YES, track_loads: YES,
      excluded_click_domains: :text, **TIMES
    },
    ip_pools: { name: :string, uuid: :string, default: NO, **TIMES },
    ip_addresses: {
      ip_pool_id: :integer, ipv4: :string, ipv6: :string, hostname: :string, priority: :integer, **TIMES
    },
    ip_pool_rules: {
      uuid: :string, owner_type: :string, owner_id: :integer, ip_pool_id: :integer, from_text: :text, to_text: :text,
      **TIMES
    },
    organization_ip_pools: { organization_id: :integer, ip_pool_id: :integer, **TIMES },
    queued_messages: {
      server_id: :integer, message_id: :integer, domain: :string, locked_by: :string, locked_at: :datetime,
      retry_after: :datetime, ip_address_id: :integer, attempts: [:integer, { default: 0 }], route_id: :integer,
      manual: NO, batch_key: :string, **TIMES
    },
    statistics: {
      total_messages: [:bigint, { default: 0 }], total_outgoing: [:bigint, { default: 0 }],
      total_incoming: [:bigint, { default: 0 }]
    },
    scheduled_tasks: { name: :string, next_run_after: :datetime },
    worker_roles: { role: :string, worker: :string, acquired_at: :datetime }
  }.freeze

  # table => columns, looked up often or (third item) unique.
  INDEXES = [
    [:organizations, :permalink], [:servers, :organization_id], [:servers, :token], [:domains, :server_id],
    [:queued_messages, :message_id], [:queued_messages, :server_id], [:webhook_requests, :locked_by],
    [:users, :email_address], [:worker_roles, :role, true], [:scheduled_tasks, :name, true]
  ].freeze
end
