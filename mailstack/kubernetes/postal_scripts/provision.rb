# frozen_string_literal: true

# Run by plain ruby in a job: hands the declared document to bootstrap.rb, the very runner of role `postal`, and does what
# that role does around it on a host. Whose record is whose, and which passwords were set, it keeps in a table of the
# main database, so that a restored dump brings its own; what Postal saw in DNS it tells in a ConfigMap.
# Ends with 3 where trying again would not help.

require "json"
require "mysql2"
require "net/http"
require "open3"
require "openssl"
require "securerandom"
require "yaml"

REFUSED = 3
DIGEST_ROUNDS = 60_000
TRIES, PAUSE_SECONDS = 5, 3
TOLD_LINES = 12
DNS_KINDS = %w[dkim spf return_path mx].freeze
MAY_BE_MISSING = %w[mx return_path].freeze

# Two documents in a table of ours, beside Postal's.
class State
  def initialize(config)
    @client = Mysql2::Client.new(host: config["host"], port: config["port"], username: config["username"],
                                 password: config["password"], database: config["database"], encoding: "utf8mb4",
                                 connect_timeout: 10, reconnect: true)
    @client.query("CREATE TABLE IF NOT EXISTS mailstack_state (name VARCHAR(40) PRIMARY KEY, " \
                  "document LONGTEXT NOT NULL) CHARACTER SET utf8mb4")
  end

  def load(name)
    row = @client.query("SELECT document FROM mailstack_state WHERE name = '#{@client.escape(name)}'").first
    row ? JSON.parse(row["document"]) : {}
  end

  def keep(name, document)
    values = [name, JSON.generate(document)].map { |text| "'#{@client.escape(text)}'" }.join(", ")
    @client.query("REPLACE INTO mailstack_state (name, document) VALUES (#{values})")
  end
end

def fold(text, salt)
  OpenSSL::KDF.pbkdf2_hmac(text, salt: salt, iterations: DIGEST_ROUNDS, length: 32, hash: "sha256").unpack1("H*")
end

# Everything secret in the document, longest first.
def secrets_in(node)
  found = node.is_a?(Hash) ? node.values.flat_map { |value| secrets_in(value) } : [node.to_s]
  found.flat_map { |text| [text, *text.lines.map(&:chomp)] }.select { |text| text.size >= 8 }.uniq.sort_by { |text| -text.size }
end

def without_secrets(text, secrets)
  secrets.reduce(text) { |shown, secret| shown.gsub(secret, "[secret]") }
end

def judge_dns(domains)
  domains.sort.filter_map do |path, found|
    wrong = DNS_KINDS.reject { |kind| found[kind] == "OK" || (MAY_BE_MISSING.include?(kind) && found[kind] == "Missing") }
    next if wrong.empty?

    effect = wrong.include?("dkim") ? ", so its mail is signed with the installation's key and fails DMARC" : ""
    details = wrong.map { |kind| "#{kind} #{found[kind]}: #{found.fetch('errors', {})[kind]}" }.join("; ")
    "Postal does not accept the DNS records of #{path.split('/').last}#{effect} (#{details})"
  end
end

# Writes the one ConfigMap this pod's token is good for.
def tell(name, data)
  folder = ENV.fetch("API_FILES")
  host, port = ENV.fetch("KUBERNETES_SERVICE_HOST"), Integer(ENV.fetch("KUBERNETES_SERVICE_PORT"))
  http = Net::HTTP.new(host, port)
  http.use_ssl, http.ca_file, http.open_timeout = true, "#{folder}/ca.crt", 10
  request = Net::HTTP::Patch.new("/api/v1/namespaces/#{ENV.fetch('NAMESPACE')}/configmaps/#{name}")
  request["Authorization"] = "Bearer #{File.read("#{folder}/token").strip}"
  request["Content-Type"] = "application/merge-patch+json"
  request.body = JSON.generate(data: data)
  answer = http.request(request)
  raise "HTTP #{answer.code}: #{answer.body}" unless answer.is_a?(Net::HTTPSuccess)
end

def tell_in_the_end(name, data)
  tries = 0
  begin
    tell(name, data)
  rescue StandardError => e
    tries += 1
    abort("what was found cannot be written to the ConfigMap #{name}: #{e.class}: #{e.message}") if tries >= TRIES
    sleep PAUSE_SECONDS
    retry
  end
end

def refuse(text)
  warn(text)
  exit(REFUSED)
end

document = JSON.parse(File.read("/config/document.json"))
config = YAML.safe_load(File.read(ENV.fetch("POSTAL_CONFIG_FILE_PATH", "/config/postal.yml")))
secrets = secrets_in(document.fetch("secrets"))
state = State.new(config.fetch("main_db"))
before = state.load("passwords")
salt = before.fetch("salt") { SecureRandom.hex(16) }
now = document["secrets"]["user_passwords"].to_h { |key, password| [key, fold(password, salt + key)] }
# A password that people have changed themselves stays, until another one is declared.
changed = now.select { |key, hash| before.fetch("hashes", {}).key?(key) && before["hashes"][key] != hash }.keys
input = document.slice("provision", "removal", "secrets").merge(
  "mode" => "apply", "identities" => state.load("identities"), "set_passwords" => changed,
  "dns_wait_seconds" => document.fetch("dns_check").fetch("wait_seconds")
)
out, said, status = Open3.capture3("bundle", "exec", "rails", "runner", "#{__dir__}/bootstrap.rb",
                                   stdin_data: JSON.generate(input))
summary = begin
  JSON.parse(out.strip.lines.last.to_s)
rescue JSON::ParserError
  {}
end
# First whose record is whose: a kill after this line costs nothing but a comparison.
state.keep("identities", summary["identities"]) if summary["identities"]
unless summary.key?("error")
  told = (out + said).lines.map(&:chomp).reject(&:empty?).last(TOLD_LINES).join("\n")
  abort(without_secrets("the runner script ended with exit code #{status.exitstatus}: #{told}", secrets))
end
refuse(without_secrets(summary["error"], secrets)) if summary["error"]
state.keep("passwords", "salt" => salt, "hashes" => now)
summary["changed"].each { |line| puts line }
puts "nothing to change" if summary["changed"].empty?
tell_in_the_end(document.fetch("results"),
                "domains" => JSON.generate(summary["domains"]), "version" => ENV.fetch("VERSION"))
problems = judge_dns(summary["domains"])
problems.each { |sentence| puts "warning: #{sentence}" }
refuse("dns_check.on_failure is fail") if problems.any? && document["dns_check"]["on_failure"] == "fail"
