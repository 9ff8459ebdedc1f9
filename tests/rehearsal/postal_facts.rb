# frozen_string_literal: true

# What is true of Postal's models; run by `rails runner` on Postal itself and on the stand-in. Prints one JSON object.

def refusals(record)
  record.valid?
  record.errors.map do |error|
    type = error.options[:message] == :required ? "must exist" : error.type
    type = "not verified" if type.to_s.include?("has not been verified")
    "#{error.attribute} #{type}"
  end.sort
end

def tables_of(database)
  ActiveRecord::Base.connection.select_values("SHOW TABLES FROM `#{database}`")
end

answers = {}
owner = User.create!(email_address: "facts@example.com", first_name: "Fay", last_name: "Facts", password: "longenough")
acme = Organization.create!(name: "Acme", permalink: "acme", owner: owner)
server = acme.servers.create!(name: "Mail One", mode: "Live")
answers[:server] = {
  permalink: server.permalink,
  token: server.token.match?(/\A[a-z]{6}\z/) ? "6 lower case" : server.token,
  retention: [server.message_retention_days, server.raw_message_retention_days, server.raw_message_retention_size],
  thresholds: [server.spam_threshold.to_f, server.spam_failure_threshold.to_f],
  database: server.message_db.database_name.sub("-server-#{server.id}", "-server-ID")
}

credential = server.credentials.create!(type: "SMTP", name: "app", key: "given")
made = credential.key
credential.key = "other"
saved = credential.save
credential.reload.update_column(:key, "key-from-stack")
changed = Credential.find(credential.id)
changed.update!(hold: true)
answers[:credential] = {
  kept_given_key: made == "given", key_length: made.size, save_with_other_key: saved,
  after_update_column: credential.reload.key, after_other_change: changed.reload.key
}

domain = server.domains.create!(name: "sender.example", verification_method: "DNS", dkim_private_key: "given")
answers[:domain] = {
  bits: domain.dkim_key.n.num_bits,
  identifier_length: domain.dkim_identifier_string.size,
  record_name: domain.dkim_record_name.sub(domain.dkim_identifier_string, "IDENTIFIER"),
  verification_token_length: domain.verification_token.size,
  dkim_status: domain.dkim_status,
  verified: domain.verified?
}
old = domain.dkim_record
domain.update_columns(dkim_private_key: OpenSSL::PKey::RSA.new(2048).to_pem)
answers[:new_key_seen] = {
  by_same_object: domain.dkim_record != old, by_fresh_object: Domain.find(domain.id).dkim_record != old
}

route = server.routes.new(name: "info", domain: domain, mode: "Accept")
answers[:refused] = {
  organization: refusals(Organization.new(name: "Mail", permalink: "mail")),
  server: refusals(acme.servers.new(name: "New", permalink: "new", mode: "live")),
  domain: refusals(server.domains.new(name: "Sender Example")),
  credential: refusals(server.credentials.new(type: "smtp")),
  route: refusals(route),
  user: refusals(User.new(email_address: "x@example.com", first_name: "X", last_name: "Y", password: "short"))
}

sender = {}
domain = Domain.find(domain.id)
sender[:unverified] = server.authenticated_domain_for_address("News <news@sender.example>")&.name
domain.update!(verified_at: Time.now)
sender[:verified] = server.authenticated_domain_for_address("News <news@sender.example>")&.name
domain.update!(use_for_any: true)
sender[:use_for_any] = server.authenticated_domain_for_address("x@any.example")&.name
answers[:sender] = sender

fresh = QueuedMessage.create!(server: server, message_id: 1, domain: "x.example", locked_by: "a", locked_at: Time.now)
stale = QueuedMessage.create!(server: server, message_id: 2, domain: "x.example", locked_by: "b", locked_at: 2.days.ago)
stale_ones = QueuedMessage.with_stale_lock.to_a
waits = Array.new(2) do
  fresh.retry_later
  [fresh.attempts, ((fresh.retry_after - Time.now) / 60).round(1)]
end
answers[:queue] = {
  stale: [fresh, stale].map { |row| stale_ones.include?(row) }, attempts: waits.map(&:first), minutes: waits.map(&:last)
}
[fresh, stale].each(&:destroy)

# A message database that is left from an installation whose main database was restored to an older state.
connection = ActiveRecord::Base.connection
number = Server.maximum(:id) + 1
left = "#{Postal::Config.message_db.database_name_prefix}-server-#{number}"
connection.execute("CREATE DATABASE `#{left}`")
connection.execute("CREATE TABLE `#{left}`.left_from_before (id int)")
before = tables_of(left).include?("left_from_before")
acme.servers.create!(id: number, name: "Two", mode: "Live")
answers[:wiped] = {
  old_table_before: before,
  old_table_after: tables_of(left).include?("left_from_before"),
  messages_after: connection.select_value("SELECT COUNT(*) FROM `#{left}`.messages")
}

gone = Organization.create!(name: "Gone", permalink: "gone", owner: owner)
gone.soft_destroy
answers[:soft_destroyed] = {
  present: Organization.present.exists?(gone.id),
  found: Organization.exists?(gone.id),
  permalink_free: Organization.new(name: "Gone", permalink: "gone", owner: owner).valid?
}

puts JSON.generate(answers)
