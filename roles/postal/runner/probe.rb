# frozen_string_literal: true

# Run by plain ruby in a throw-away container of the new image, on the new container network: what the processes would
# find there. Reads a JSON document (database, wait_seconds, relay, return_path_domain) and prints one JSON object.
# Changes nothing, except that it makes and drops one empty database, which proves that Postal will be able to.

require "json"
require "mysql2"
require "resolv"

PAUSE_SECONDS = 1
VARIABLES = %w[max_allowed_packet innodb_log_file_size].freeze
WRONG_LOGIN = [1044, 1045, 1698].freeze # access denied: waiting would not help

# As app/lib/dns_resolver.rb does: plain DNS, the name servers of resolv.conf, IPv6 first, no /etc/hosts.
def addresses(name)
  servers = Resolv::DNS::Config.parse_resolv_conf("/etc/resolv.conf")[:nameserver]
  Resolv::DNS.open(nameserver: servers) do |dns|
    dns.timeouts = [5, 2, 2]
    kinds = [Resolv::DNS::Resource::IN::AAAA, Resolv::DNS::Resource::IN::A]
    kinds.flat_map { |kind| dns.getresources(name, kind).map { |found| found.address.to_s } }
  end
end

def mail_exchangers(name)
  servers = Resolv::DNS::Config.parse_resolv_conf("/etc/resolv.conf")[:nameserver]
  Resolv::DNS.open(nameserver: servers) do |dns|
    dns.timeouts = [5, 2, 2]
    dns.getresources(name, Resolv::DNS::Resource::IN::MX).map { |found| found.exchange.to_s.downcase }
  end
rescue Resolv::ResolvError
  []
end

def connect(settings)
  Mysql2::Client.new(host: settings["host"], port: settings["port"], username: settings["username"],
                     password: settings["password"], encoding: "utf8mb4", connect_timeout: 5)
end

def connect_in_time(settings, deadline)
  connect(settings)
rescue Mysql2::Error => e
  raise if WRONG_LOGIN.include?(e.error_number) || Time.now >= deadline

  sleep PAUSE_SECONDS
  retry
end

def look(client, settings)
  prefix = "#{settings['prefix']}-server-"
  schemas = client.query("SELECT schema_name AS name FROM information_schema.schemata").map { |row| row["name"] }
  variables = client.query("SHOW VARIABLES").to_h { |row| [row["Variable_name"], row["Value"]] }
  { version: client.query("SELECT VERSION() AS version").first["version"], variables: variables.slice(*VARIABLES),
    migrations: migrations(client, settings["main"], schemas),
    message_databases: schemas.count { |name| name.start_with?(prefix) }, rights: rights(client, "#{prefix}mailstackprobe") }
end

def migrations(client, main, schemas)
  return 0 unless schemas.include?(main)

  client.query("SELECT COUNT(*) AS number FROM `#{main}`.schema_migrations").first["number"]
rescue Mysql2::Error => e
  raise unless e.error_number == 1146 # no such table

  0
end

def rights(client, name)
  client.query("CREATE DATABASE IF NOT EXISTS `#{name}`")
  client.query("DROP DATABASE `#{name}`")
  nil
rescue Mysql2::Error => e
  e.message
end

document = JSON.parse($stdin.read)
result = {}
if document["relay"]
  begin
    result[:relay] = addresses(document["relay"])
  rescue StandardError => e
    result[:relay_error] = "#{e.class}: #{e.message}"
  end
end
result[:return_path_mx] = mail_exchangers(document["return_path_domain"]) if document["return_path_domain"]
if document["database"]
  begin
    client = connect_in_time(document["database"], Time.now + document["wait_seconds"])
    result[:database] = look(client, document["database"])
  rescue Mysql2::Error => e
    result[:database_error] = e.message
  end
end
puts JSON.generate(result)
