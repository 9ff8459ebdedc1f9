# frozen_string_literal: true

module PostalStandin
  # Every key of a `version: 2` postal.yml of Postal 3.3: group => key => [type, default].
  # Types: :string, :integer, :boolean, :strings (a list), :path ("$config-file-root" is expanded),
  # :relays (list of smtp://host:port?ssl_mode=MODE), :networks (list of addresses or CIDR blocks).
  SETTINGS = {
    postal: {
      web_hostname: [:string, "postal.example.com"],
      web_protocol: [:string, "https"],
      smtp_hostname: [:string, "postal.example.com"],
      use_ip_pools: [:boolean, false],
      default_maximum_delivery_attempts: [:integer, 18],
      default_maximum_hold_expiry_days: [:integer, 7],
      default_suppression_list_automatic_removal_days: [:integer, 30],
      default_spam_threshold: [:integer, 5],
      default_spam_failure_threshold: [:integer, 20],
      use_local_ns_for_domain_verification: [:boolean, false],
      use_resent_sender_header: [:boolean, true],
      signing_key_path: [:path, "$config-file-root/signing.key"],
      smtp_relays: [:relays, []],
      trusted_proxies: [:networks, []],
      queued_message_lock_stale_days: [:integer, 1],
      batch_queued_messages: [:boolean, true]
    },
    web_server: {
      default_port: [:integer, 5000],
      default_bind_address: [:string, "127.0.0.1"],
      max_threads: [:integer, 5]
    },
    worker: {
      default_health_server_port: [:integer, 9090],
      default_health_server_bind_address: [:string, "127.0.0.1"],
      threads: [:integer, 2]
    },
    main_db: {
      host: [:string, "localhost"],
      port: [:integer, 3306],
      username: [:string, "postal"],
      password: [:string, nil],
      database: [:string, "postal"],
      pool_size: [:integer, 5],
      encoding: [:string, "utf8mb4"]
    },
    message_db: {
      host: [:string, "localhost"],
      port: [:integer, 3306],
      username: [:string, "postal"],
      password: [:string, nil],
      encoding: [:string, "utf8mb4"],
      database_name_prefix: [:string, "postal"]
    },
    logging: {
      rails_log_enabled: [:boolean, false],
      sentry_dsn: [:string, nil],
      enabled: [:boolean, true],
      highlighting_enabled: [:boolean, false]
    },
    gelf: { host: [:string, nil], port: [:integer, 12_201], facility: [:string, "postal"] },
    smtp_server: {
      default_port: [:integer, 25],
      default_bind_address: [:string, "::"],
      default_health_server_port: [:integer, 9091],
      default_health_server_bind_address: [:string, "127.0.0.1"],
      tls_enabled: [:boolean, false],
      tls_certificate_path: [:path, "$config-file-root/smtp.cert"],
      tls_private_key_path: [:path, "$config-file-root/smtp.key"],
      tls_ciphers: [:string, nil],
      ssl_version: [:string, "SSLv23"],
      proxy_protocol: [:boolean, false],
      log_connections: [:boolean, false],
      max_message_size: [:integer, 14],
      log_ip_address_exclusion_matcher: [:string, nil]
    },
    dns: {
      mx_records: [:strings, ["mx1.postal.example.com", "mx2.postal.example.com"]],
      spf_include: [:string, "spf.postal.example.com"],
      return_path_domain: [:string, "rp.postal.example.com"],
      route_domain: [:string, "routes.postal.example.com"],
      track_domain: [:string, "track.postal.example.com"],
      helo_hostname: [:string, nil],
      dkim_identifier: [:string, "postal"],
      domain_verify_prefix: [:string, "postal-verification"],
      custom_return_path_prefix: [:string, "psrp"],
      timeout: [:integer, 5],
      resolv_conf_path: [:string, "/etc/resolv.conf"]
    },
    smtp: {
      host: [:string, "127.0.0.1"],
      port: [:integer, 25],
      username: [:string, nil],
      password: [:string, nil],
      authentication_type: [:string, "login"],
      enable_starttls: [:boolean, false],
      enable_starttls_auto: [:boolean, true],
      openssl_verify_mode: [:string, "peer"],
      from_name: [:string, "Postal"],
      from_address: [:string, "postal@example.com"]
    },
    rails: { environment: [:string, "production"], secret_key: [:string, nil] },
    rspamd: {
      enabled: [:boolean, false],
      host: [:string, "127.0.0.1"],
      port: [:integer, 11_334],
      ssl: [:boolean, false],
      password: [:string, nil],
      flags: [:string, nil]
    },
    spamd: { enabled: [:boolean, false], host: [:string, "127.0.0.1"], port: [:integer, 783] },
    clamav: { enabled: [:boolean, false], host: [:string, "127.0.0.1"], port: [:integer, 2000] },
    smtp_client: { open_timeout: [:integer, 30], read_timeout: [:integer, 30] },
    migration_waiter: { enabled: [:boolean, false], attempts: [:integer, 120], sleep_time: [:integer, 2] },
    oidc: {
      enabled: [:boolean, false],
      local_authentication_enabled: [:boolean, true],
      name: [:string, "OIDC Provider"],
      issuer: [:string, nil],
      identifier: [:string, nil],
      secret: [:string, nil],
      scopes: [:strings, %w[openid email]],
      uid_field: [:string, "sub"],
      email_address_field: [:string, "email"],
      name_field: [:string, "name"],
      discovery: [:boolean, true],
      authorization_endpoint: [:string, nil],
      token_endpoint: [:string, nil],
      userinfo_endpoint: [:string, nil],
      jwks_uri: [:string, nil]
    }
  }.freeze
end
