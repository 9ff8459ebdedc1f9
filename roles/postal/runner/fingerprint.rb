# frozen_string_literal: true

# Run by plain ruby inside a running container (script on standard input): one digest over everything that is
# provisioned, and the DNS states Postal has found. It takes a fraction of the time Rails needs to start.
# Columns that change by themselves (times, states, counters) are left out; secrets only enter the digest.

require "digest"
require "json"
require "mysql2"
require "yaml"

COLUMNS = {
  "users" => %w[uuid email_address first_name last_name admin time_zone],
  "organizations" => %w[uuid name permalink time_zone owner_id deleted_at],
  "organization_users" => %w[organization_id user_id user_type admin all_servers],
  "organization_ip_pools" => %w[organization_id ip_pool_id],
  "servers" => %w[id uuid organization_id name mode ip_pool_id permalink token send_limit deleted_at allow_sender
                  message_retention_days raw_message_retention_days raw_message_retention_size spam_threshold
                  spam_failure_threshold outbound_spam_threshold postmaster_address domains_not_to_click_track
                  log_smtp_data privacy_mode],
  "domains" => %w[uuid name owner_type owner_id verified_at dkim_private_key dkim_identifier_string outgoing incoming
                  use_for_any],
  "credentials" => %w[uuid server_id key type name hold],
  "http_endpoints" => %w[uuid server_id name url encoding format strip_replies include_attachments timeout],
  "smtp_endpoints" => %w[uuid server_id name hostname ssl_mode port],
  "address_endpoints" => %w[uuid server_id address],
  "routes" => %w[uuid server_id domain_id endpoint_id endpoint_type name spam_mode mode],
  "additional_route_endpoints" => %w[route_id endpoint_type endpoint_id],
  "track_domains" => %w[uuid server_id domain_id name ssl_enabled track_clicks track_loads excluded_click_domains],
  "webhooks" => %w[uuid server_id name url all_events enabled sign],
  "webhook_events" => %w[webhook_id event],
  "ip_pools" => %w[uuid name default],
  "ip_addresses" => %w[ip_pool_id ipv4 ipv6 hostname priority]
}.freeze

config = YAML.safe_load(File.read(ENV.fetch("POSTAL_CONFIG_FILE_PATH", "/config/postal.yml")))
main = config.fetch("main_db")
client = Mysql2::Client.new(host: main["host"], port: main["port"], username: main["username"],
                            password: main["password"], database: main["database"], encoding: "utf8mb4",
                            connect_timeout: 5)
digest = Digest::SHA256.new
COLUMNS.each do |table, columns|
  list = columns.map { |column| "`#{column}`" }.join(", ")
  digest << table
  client.query("SELECT #{list} FROM `#{table}` ORDER BY id", cast: false).each(as: :array) { |row| digest << row.inspect }
end
prefix = "#{config.fetch('message_db').fetch('database_name_prefix', 'postal')}-server-"
schemas = client.query("SELECT schema_name AS name FROM information_schema.schemata").map { |row| row["name"] }
digest << schemas.select { |name| name.start_with?(prefix) }.sort.inspect
domains = client.query("SELECT uuid, spf_status, dkim_status, mx_status, return_path_status FROM domains").to_h do |row|
  [row["uuid"], { spf: row["spf_status"], dkim: row["dkim_status"], mx: row["mx_status"],
                  return_path: row["return_path_status"] }]
end
tracked = client.query("SELECT uuid, dns_status FROM track_domains").to_h { |row| [row["uuid"], row["dns_status"]] }
version = client.query("SELECT VERSION() AS version").first["version"]
puts JSON.generate(fingerprint: digest.hexdigest, domains: domains, track_domains: tracked, version: version)
