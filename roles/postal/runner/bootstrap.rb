# frozen_string_literal: true

# Brings what is provisioned inside Postal to what is declared. Run by `rails runner`, which has loaded Postal's models:
#   bundle exec rails runner /mailstack/bootstrap.rb < document.json
# Document: mode ("plan", "apply" or "check_dns"), provision, secrets (user_passwords, credentials, dkim), identities
# (path of ours => uuid or id of Postal's record), removal ("refuse" or "allow"), set_passwords, dns_wait_seconds.
# Last line of standard output: one JSON object (see Bootstrap#summary). Exit code 0, or 1 with "error" set.
# "plan" does the same work in a transaction that is rolled back, so it finds what "apply" would refuse as well.
# It uses only what tests/unit/test_postal_bootstrap_facts.py lists, with its place in Postal's source.

require "base64"
require "digest"
require "json"
require "openssl"

class Refusal < StandardError
end

class Bootstrap
  KINDS = %w[webhooks track_domains routes http_endpoints smtp_endpoints address_endpoints credentials].freeze
  # Children first. A server's or an organization's own children go with it.
  REMOVAL_ORDER = [*KINDS, "domains", "servers", "members", "pools", "organizations", "addresses", "ip_pools",
                   "users"].freeze
  # What a column goes back to when it is no longer declared; Postal's own defaults.
  SERVER_DEFAULTS = {
    "send_limit" => nil, "allow_sender" => false, "privacy_mode" => false, "log_smtp_data" => false,
    "postmaster_address" => nil, "outbound_spam_threshold" => nil, "domains_not_to_click_track" => nil,
    "message_retention_days" => 60, "raw_message_retention_days" => 30, "raw_message_retention_size" => 2048
  }.freeze
  DOMAIN_DEFAULTS = { "use_for_any" => false, "incoming" => true, "outgoing" => true }.freeze
  ENDPOINT_DEFAULTS = {
    "http_endpoints" => { "encoding" => "BodyAsJSON", "format" => "Hash", "strip_replies" => false,
                          "include_attachments" => true, "timeout" => 5 },
    "smtp_endpoints" => { "port" => 25, "ssl_mode" => "Auto" },
    "address_endpoints" => {}
  }.freeze
  TRACK_DEFAULTS = { "ssl_enabled" => true, "track_clicks" => true, "track_loads" => true,
                     "excluded_click_domains" => nil }.freeze
  WEBHOOK_DEFAULTS = { "all_events" => false, "enabled" => true, "sign" => true }.freeze
  LOCK = "mailstack.bootstrap"
  LOCK_SECONDS = 60
  SMALLEST_DKIM_BITS = 2048
  DNS_PAUSE_SECONDS = 3

  attr_reader :identities

  def initialize(document)
    @mode = document.fetch("mode")
    @provision = document.fetch("provision")
    @secrets = document.fetch("secrets", {})
    @identities = document.fetch("identities", {})
    @removal = document.fetch("removal", "refuse")
    @set_passwords = document.fetch("set_passwords", [])
    @dns_wait_seconds = document.fetch("dns_wait_seconds", 0)
    @planning = false
    @changed = []
    @records = {}
  end

  def run
    case @mode
    when "plan" then plan
    when "apply" then locked { apply }
    when "check_dns" then gather_declared
    else raise Refusal, "mode #{@mode.inspect} is unknown"
    end
    check_dns unless @mode == "plan"
    summary
  end

  private

  def plan
    @planning = true
    ActiveRecord::Base.transaction do
      converge
      raise ActiveRecord::Rollback
    end
  ensure
    @planning = false
  end

  def apply
    # A removal that is refused is found before anything has changed: by going through everything once without effect.
    rehearse if undeclared.any?
    converge
  end

  def rehearse
    before = @identities.dup
    plan
    @identities, @records, @changed = before, {}, []
  end

  def locked
    connection = ActiveRecord::Base.connection
    got = connection.select_value("SELECT GET_LOCK('#{LOCK}', #{LOCK_SECONDS})")
    raise Refusal, "another run is provisioning this Postal" unless got.to_i == 1

    yield
  ensure
    connection&.select_value("SELECT RELEASE_LOCK('#{LOCK}')")
  end

  def converge
    users
    ip_pools
    @provision.fetch("organizations", {}).each { |key, wanted| organization(key, wanted) }
    remove_undeclared
  end

  # --- identities: which of our keys is which of Postal's records ---------------------------------------------------

  def declared_paths
    paths = []
    walk(@provision, "", %w[users ip_pools organizations], paths)
    paths
  end

  def walk(node, prefix, kinds, paths)
    kinds.each do |kind|
      node.fetch(kind, {}).each do |key, entry|
        path = "#{prefix}#{kind}/#{key}"
        paths << path
        walk(entry, "#{path}/", %w[addresses], paths) if kind == "ip_pools"
        walk(entry, "#{path}/", %w[domains servers], paths) if kind == "organizations"
        walk(entry, "#{path}/", ["domains", *KINDS], paths) if kind == "servers"
        members(entry).each { |name| paths << "#{path}/members/#{name}" } if kind == "organizations"
        entry.fetch("ip_pools", []).each { |name| paths << "#{path}/pools/#{name}" } if kind == "organizations"
      end
    end
  end

  def members(wanted)
    [wanted.fetch("owner"), *wanted.fetch("users", [])].uniq
  end

  def undeclared
    gone = @identities.keys - declared_paths
    # What lies below something that goes, goes with it. But an IP pool does not go before its addresses, and keys of a
    # removed server would be accepted until Postal's hourly clean-up.
    gone.reject do |path|
      !%w[addresses credentials].include?(kind_of_path(path)) && gone.any? { |other| path.start_with?("#{other}/") }
    end
  end

  def remove_undeclared
    going = undeclared.to_h { |path| [path, known_record(path, model_of(path))] }.compact
    # A key of ours that was renamed: the record already belongs to a declared key again.
    going.reject! { |_, record| @records.value?(record) }
    refuse(going.keys) unless going.empty? || @removal == "allow"
    going.sort_by { |path, _| REMOVAL_ORDER.index(kind_of_path(path)) }.each do |path, record|
      note("removed", path)
      saying(path) { take_away(record) }
    end
    @identities = @identities.slice(*declared_paths)
  end

  # Servers and organizations go as in the web interface: marked, and removed with all their mail by a worker.
  def take_away(record)
    return record.destroy! unless record.respond_to?(:soft_destroy)

    # Marked ones still count as users of their pool, which may be about to go as well.
    record.update_columns(ip_pool_id: nil)
    record.soft_destroy
  end

  def refuse(paths)
    raise Refusal, "no longer declared, but still in Postal: #{paths.sort.join(', ')}. " \
                   "Declare them again, or set postal.removal to allow; a mail server is removed with all its mail"
  end

  def kind_of_path(path)
    path.split("/")[-2]
  end

  def model_of(path)
    { "users" => User, "ip_pools" => IPPool, "addresses" => IPAddress, "organizations" => Organization,
      "members" => OrganizationUser, "pools" => OrganizationIPPool, "domains" => Domain, "servers" => Server,
      "credentials" => Credential, "http_endpoints" => HTTPEndpoint, "smtp_endpoints" => SMTPEndpoint,
      "address_endpoints" => AddressEndpoint, "routes" => Route, "track_domains" => TrackDomain,
      "webhooks" => Webhook }.fetch(kind_of_path(path))
  end

  def known_record(path, model)
    identity = @identities[path]
    record = identity && model.find_by(identity_column(model) => identity)
    record unless record.respond_to?(:deleted_at) && record&.deleted_at
  end

  def identity_column(model)
    model.column_names.include?("uuid") ? "uuid" : "id"
  end

  # Finds the record by identity, then by its natural key, or makes a new one; gives it the attributes; notes changes.
  def bring(path, natural, attributes)
    model = model_of(path)
    record = known_record(path, model) || unclaimed(model.find_by(natural)) || model.new
    # Postal stores empty texts as NULL: an empty one would differ for ever.
    record.assign_attributes(attributes.transform_values { |value| value == "" ? nil : value })
    yield record if block_given?
    fresh = record.new_record?
    changed = record.changed
    if fresh || changed.any?
      saying(path) { record.save! }
      note(fresh ? "created" : "updated", path, fresh ? [] : changed)
    end
    remember(path, record)
  end

  # Postal lets some names be used twice: then the first entry has the record already.
  def unclaimed(record)
    record unless @records.value?(record)
  end

  # Postal's messages do not say which of several records they are about.
  def saying(path)
    yield
  rescue ActiveRecord::ActiveRecordError => e
    raise Refusal, "#{path}: #{e.message}"
  end

  def remember(path, record)
    @records[path] = record
    @identities[path] = record.public_send(identity_column(record.class))
    record
  end

  def note(verb, path, columns = [])
    @changed << "#{verb} #{path}#{" (#{columns.sort.join(', ')})" if columns.any?}"
  end

  # --- installation-wide --------------------------------------------------------------------------------------------

  def users
    @provision.fetch("users", {}).each do |key, wanted|
      path = "users/#{key}"
      attributes = { "admin" => false, "time_zone" => "UTC" }.merge(wanted)
      bring(path, { email_address: wanted.fetch("email_address") }, attributes) do |user|
        # A password changed by its owner stays, until another one is declared.
        if user.new_record? || @set_passwords.include?(key)
          user.password = @secrets.fetch("user_passwords").fetch(key)
          user.email_verified_at ||= Time.now
        end
      end
    end
  end

  def ip_pools
    @provision.fetch("ip_pools", {}).each do |key, wanted|
      path = "ip_pools/#{key}"
      attributes = { "default" => false }.merge(wanted.slice("name", "default"))
      pool = bring(path, { name: wanted.fetch("name") }, attributes)
      wanted.fetch("addresses", {}).each do |name, address|
        attributes = { "ipv6" => nil, "priority" => 100 }.merge(address).merge("ip_pool" => pool)
        bring("#{path}/addresses/#{name}", { ipv4: address.fetch("ipv4") }, attributes)
      end
    end
  end

  def organization(key, wanted)
    path = "organizations/#{key}"
    # Something removed a moment ago keeps its name until Postal's hourly clean-up: declared again, it is taken back.
    attributes = { "time_zone" => "UTC", "deleted_at" => nil }
                 .merge(wanted.slice("name", "permalink", "time_zone"))
                 .merge("owner" => @records.fetch("users/#{wanted.fetch('owner')}"))
    record = bring(path, { permalink: wanted.fetch("permalink") }, attributes)
    members(wanted).each do |name|
      natural = { organization_id: record.id, user_type: "User", user_id: @records.fetch("users/#{name}").id }
      bring("#{path}/members/#{name}", natural, natural.merge(admin: true, all_servers: true))
    end
    wanted.fetch("ip_pools", []).each do |name|
      natural = { organization_id: record.id, ip_pool_id: @records.fetch("ip_pools/#{name}").id }
      bring("#{path}/pools/#{name}", natural, natural)
    end
    wanted.fetch("domains", {}).each { |name, domain| domain("#{path}/domains/#{name}", record, name, domain) }
    wanted.fetch("servers", {}).each { |name, server| server("#{path}/servers/#{name}", record, server) }
  end

  # --- a mail server and what belongs to it -------------------------------------------------------------------------

  def server(path, organization, wanted)
    pool = wanted["ip_pool"] && @records.fetch("ip_pools/#{wanted['ip_pool']}")
    attributes = SERVER_DEFAULTS.merge(wanted.except("ip_pool", "domains", *KINDS))
                                .merge("organization" => organization, "ip_pool" => pool, "deleted_at" => nil)
    natural = { organization_id: organization.id, permalink: wanted.fetch("permalink") }
    record = bring(path, natural, attributes) { |server| prepare_message_database(server) }
    wanted.fetch("domains", {}).each { |name, domain| domain("#{path}/domains/#{name}", record, name, domain) }
    wanted.fetch("credentials", {}).each { |key, entry| credential("#{path}/credentials/#{key}", record, entry) }
    endpoints(path, record, wanted)
    wanted.fetch("routes", {}).each { |key, entry| route(path, key, record, entry) }
    wanted.fetch("track_domains", {}).each { |key, entry| track_domain(path, key, record, entry) }
    wanted.fetch("webhooks", {}).each { |key, entry| webhook("#{path}/webhooks/#{key}", record, entry) }
  end

  # Postal drops the database of a new server's number before it makes it. Where an older main database was restored,
  # that number may belong to mail that is still there: the next number has to be above every existing one.
  def prepare_message_database(server)
    return unless server.new_record?
    return server.provision_database = false if @planning

    connection = Server.connection
    prefix = Postal::Config.message_db.database_name_prefix
    names = connection.select_values("SELECT schema_name FROM information_schema.schemata")
    numbers = names.map { |name| name[/\A#{Regexp.escape(prefix)}-server-(\d+)\z/, 1].to_i }
    highest = numbers.max.to_i
    return if highest <= Server.maximum(:id).to_i

    connection.execute("ALTER TABLE servers AUTO_INCREMENT = #{highest + 1}")
  end

  def domain(path, owner, name, wanted)
    attributes = DOMAIN_DEFAULTS.merge(wanted.except("dkim_identifier_string")).merge("owner" => owner, "name" => name)
    natural = { owner_type: owner.class.name, owner_id: owner.id, name: name }
    record = bring(path, natural, attributes) do |domain|
      domain.verification_method ||= "DNS"
      domain.verified_at ||= Time.now # as Postal does for a domain that an admin adds
    end
    sign_with(path, record, @secrets.fetch("dkim").fetch(name), wanted.fetch("dkim_identifier_string"))
  end

  # Postal makes a key of 1024 bits and a random selector when a domain is created, whatever it is given.
  def sign_with(path, record, pem, identifier)
    key = OpenSSL::PKey::RSA.new(pem)
    raise Refusal, "#{path}: the DKIM key has #{key.n.num_bits} bits" if key.n.num_bits < SMALLEST_DKIM_BITS

    same_key = record.dkim_private_key && OpenSSL::PKey::RSA.new(record.dkim_private_key).to_der == key.to_der
    unless same_key && record.dkim_identifier_string == identifier
      # Without the status Postal signs with the installation's key until DNS is seen to have the new one.
      record.update_columns(dkim_private_key: key.to_pem, dkim_identifier_string: identifier, dkim_status: nil)
      note("updated", path, %w[dkim])
    end
    prove_dkim(path, @records[path] = Domain.find(record.id), key, identifier)
  end

  def prove_dkim(path, record, key, identifier)
    name = "#{Postal::Config.dns.dkim_identifier}-#{identifier}._domainkey"
    value = "v=DKIM1; t=s; h=sha256; p=#{Base64.strict_encode64(key.public_key.to_der)};"
    return if record.dkim_record_name == name && record.dkim_record == value

    raise Refusal, "#{path}: Postal would publish #{record.dkim_record_name} with another key than the declared one"
  end

  def credential(path, server, wanted)
    natural = { server_id: server.id, type: wanted.fetch("type"), name: wanted.fetch("name") }
    attributes = { "hold" => false }.merge(wanted).merge("server" => server)
    return bring(path, natural, attributes) if wanted["type"] == "SMTP-IP"

    organization_key, server_key, key = path.split("/").values_at(1, 3, 5)
    secret = @secrets.fetch("credentials").fetch([organization_key, server_key, key].join("/"))
    Credential.transaction do
      record = bring(path, natural, attributes)
      next if record.key == secret
      raise Refusal, "#{path}: another credential has the same key" if Credential.where(key: secret).exists?

      # Postal makes its own key on creation and refuses a change of it afterwards.
      record.update_column(:key, secret)
      note("updated", path, %w[key])
    end
  end

  def endpoints(path, server, wanted)
    ENDPOINT_DEFAULTS.each do |kind, defaults|
      wanted.fetch(kind, {}).each do |key, entry|
        column = kind == "address_endpoints" ? "address" : "name"
        natural = { :server_id => server.id, column => entry.fetch(column) }
        bring("#{path}/#{kind}/#{key}", natural, defaults.merge(entry).merge("server" => server))
      end
    end
  end

  def route(path, key, server, wanted)
    domain = wanted["domain"] && owned_domain(path, wanted["domain"])
    endpoint = wanted["endpoint"] && @records.fetch("#{path}/#{wanted['endpoint']}")
    attributes = { "name" => wanted.fetch("name"), "mode" => wanted.fetch("mode"), "server" => server,
                   "spam_mode" => wanted.fetch("spam_mode", "Mark"), "domain" => domain, "endpoint" => endpoint }
    natural = { server_id: server.id, domain_id: domain&.id, name: wanted.fetch("name") }
    record = bring("#{path}/routes/#{key}", natural, attributes)
    more = wanted.fetch("additional_endpoints", []).map do |reference|
      additional = @records.fetch("#{path}/#{reference}")
      "#{additional.class.name}##{additional.uuid}"
    end
    return if record.additional_route_endpoints_array.sort == more.sort

    record.additional_route_endpoints_array = more
    record.save!
    note("updated", "#{path}/routes/#{key}", %w[additional_endpoints])
  end

  def owned_domain(server_path, name)
    organization_path = server_path.split("/").first(2).join("/")
    @records["#{server_path}/domains/#{name}"] || @records.fetch("#{organization_path}/domains/#{name}")
  end

  def track_domain(path, key, server, wanted)
    domain = owned_domain(path, wanted.fetch("domain"))
    attributes = TRACK_DEFAULTS.merge(wanted).merge("server" => server, "domain" => domain)
    bring("#{path}/track_domains/#{key}", { server_id: server.id, domain_id: domain.id }, attributes) do |record|
      # Without a status its creation asks DNS, which a plan has no time for.
      record.dns_status ||= "Missing" if @planning
    end
  end

  def webhook(path, server, wanted)
    natural = { server_id: server.id, name: wanted.fetch("name") }
    record = bring(path, natural, WEBHOOK_DEFAULTS.merge(wanted.except("events")).merge("server" => server))
    events = wanted.fetch("events", [])
    return if record.events.sort == events.sort

    record.events = events
    record.save!
    note("updated", path, %w[events])
  end

  # --- DNS as Postal sees it, and what the caller learns ------------------------------------------------------------

  def gather_declared
    declared_paths.each do |path|
      record = known_record(path, model_of(path))
      @records[path] = record if record
    end
  end

  def check_dns
    deadline = Time.now + @dns_wait_seconds
    loop do
      waiting = records_of("domains").reject { |path, domain| dns_settled?(path, domain) }
      records_of("track_domains").each_value { |track| quietly(track) }
      break if waiting.empty? || Time.now >= deadline

      sleep DNS_PAUSE_SECONDS
    end
  end

  def dns_settled?(path, domain)
    # A fresh object: the resolver of the last look would remember where the name servers were.
    domain = @records[path] = Domain.find(domain.id)
    quietly(domain)
    domain.dkim_status == "OK" && domain.spf_status == "OK" && %w[OK Missing].include?(domain.return_path_status)
  end

  # A name server that does not answer must not hide the state of all other domains.
  def quietly(record)
    record.check_dns
  rescue StandardError => e
    warn "check_dns: #{record.class.name} #{record.id}: #{e.class}: #{e.message}"
  end

  def records_of(kind)
    @records.select { |path, _| kind_of_path(path) == kind }
  end

  def summary
    prefix = Postal::Config.message_db.database_name_prefix
    servers = records_of("servers").transform_values do |server|
      { id: server.id, permalink: server.full_permalink, token: server.token,
        message_database: "#{prefix}-server-#{server.id}" }
    end
    domains = records_of("domains").transform_values do |domain|
      errors = { spf: domain.spf_error, dkim: domain.dkim_error, mx: domain.mx_error,
                 return_path: domain.return_path_error }
      # Not the record itself: it shares digits with the private key, and is blanked out wherever that one is.
      { dkim_record_name: domain.dkim_record_name, dkim_record_sha256: Digest::SHA256.hexdigest(domain.dkim_record),
        spf: domain.spf_status, dkim: domain.dkim_status, mx: domain.mx_status,
        return_path: domain.return_path_status, errors: errors.compact }
    end
    { changed: @changed, identities: @identities, servers: servers, domains: domains,
      track_domains: records_of("track_domains").transform_values(&:dns_status), error: nil }
  end
end

document = JSON.parse($stdin.read)
bootstrap = Bootstrap.new(document)
begin
  $stdout.puts(JSON.generate(bootstrap.run))
rescue Refusal, ActiveRecord::ActiveRecordError, Postal::Error, Mysql2::Error, KeyError => e
  # What was made before the error is real: the next run must know whose it is. After a plan nothing is.
  kept = document["mode"] == "plan" ? {} : { identities: bootstrap.identities }
  $stdout.puts(JSON.generate(error: e.is_a?(Refusal) ? e.message : "#{e.class.name}: #{e.message}", **kept))
  exit 1
end
