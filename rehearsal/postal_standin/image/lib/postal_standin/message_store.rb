# frozen_string_literal: true

require "postal_standin/message_database"
require "postal_standin/message"

# The message database of one mail server: `<message_db.database_name_prefix>-server-<server id>`. Raw messages are
# kept in one table a day, `raw-YYYY-MM-DD` (UTC), headers and body in two rows.
class MessageStore
  class NotFound < Postal::Error; end

  # table => columns and keys. Only the tables the stand-in fills; types as in Postal.
  TABLES = {
    "migrations" => "`version` int(11) NOT NULL, PRIMARY KEY (`version`)",
    "messages" => <<~SQL,
      `id` int(11) NOT NULL AUTO_INCREMENT, `token` varchar(255), `scope` varchar(10), `rcpt_to` varchar(255),
      `mail_from` varchar(255), `subject` varchar(255), `message_id` varchar(255), `timestamp` decimal(18,6),
      `route_id` int(11), `domain_id` int(11), `credential_id` int(11), `status` varchar(255),
      `held` tinyint(1) DEFAULT 0, `size` varchar(255), `last_delivery_attempt` decimal(18,6),
      `raw_table` varchar(255), `raw_body_id` int(11), `raw_headers_id` int(11), `inspected` tinyint(1) DEFAULT 0,
      `spam` tinyint(1) DEFAULT 0, `spam_score` decimal(8,2) DEFAULT 0, `threat` tinyint(1) DEFAULT 0,
      `threat_details` varchar(255), `bounce` tinyint(1) DEFAULT 0, `bounce_for_id` int(11) DEFAULT 0,
      `tag` varchar(255), `loaded` decimal(18,6), `clicked` decimal(18,6), `received_with_ssl` tinyint(1),
      `hold_expiry` decimal(18,6), `tracked_links` int(11) DEFAULT 0, `tracked_images` int(11) DEFAULT 0,
      `parsed` tinyint(4) DEFAULT 0, `endpoint_id` int(11), `endpoint_type` varchar(255),
      PRIMARY KEY (`id`), KEY `on_message_id` (`message_id`(8)), KEY `on_token` (`token`(6)),
      KEY `on_status` (`status`(8)), KEY `on_raw_table` (`raw_table`(14))
    SQL
    "deliveries" => <<~SQL,
      `id` int(11) NOT NULL AUTO_INCREMENT, `message_id` int(11), `status` varchar(255), `code` int(11),
      `output` varchar(512), `details` varchar(512), `sent_with_ssl` tinyint(1) DEFAULT 0, `log_id` varchar(100),
      `timestamp` decimal(18,6), `time` decimal(8,2), PRIMARY KEY (`id`), KEY `on_message_id` (`message_id`)
    SQL
    "raw_message_sizes" => <<~SQL,
      `id` int(11) NOT NULL AUTO_INCREMENT, `table_name` varchar(255), `size` bigint(20), PRIMARY KEY (`id`),
      KEY `on_table_name` (`table_name`(14))
    SQL
    "suppressions" => <<~SQL,
      `id` int(11) NOT NULL AUTO_INCREMENT, `type` varchar(255), `address` varchar(255), `reason` varchar(255),
      `timestamp` decimal(18,6), `keep_until` decimal(18,6), PRIMARY KEY (`id`), KEY `on_address` (`address`(6)),
      KEY `on_keep_until` (`keep_until`)
    SQL
    "webhook_requests" => <<~SQL
      `id` int(11) NOT NULL AUTO_INCREMENT, `uuid` varchar(255), `event` varchar(255), `attempt` int(11),
      `timestamp` decimal(18,6), `status_code` int(1), `body` text, `payload` text, `will_retry` tinyint(4),
      `url` varchar(255), `webhook_id` int(11), PRIMARY KEY (`id`), KEY `on_uuid` (`uuid`(8))
    SQL
  }.freeze

  RAW_COLUMNS = "`id` int(11) NOT NULL AUTO_INCREMENT, `data` longblob, `next` int(11), PRIMARY KEY (`id`)"
  # Postal's twentieth message database migration is its newest.
  SCHEMA_VERSION = 20
  BLANK_LINE = /\r?\n\r?\n/.freeze
  SUPPRESSED_RECIPIENT = "recipient"

  attr_reader :server, :database_name

  def self.for(server)
    new(server)
  end

  def initialize(server)
    @server = server
    @database_name = "#{Postal::Config.message_db.database_name_prefix}-server-#{server.id}"
    @database = PostalStandin::MessageDatabase.new(@database_name)
  end

  # --- the database itself

  # Drops whatever is there under this name and makes it anew.
  def provision
    drop
    @database.create
    TABLES.each { |name, columns| @database.create_table(name, columns) }
    (1..SCHEMA_VERSION).each { |version| @database.insert("migrations", version: version) }
  end

  def drop
    @database.drop
  end

  def exists?
    @database.exists?
  end

  def schema_version
    @database.select("migrations", order: "version DESC", limit: 1).first&.fetch("version") || 0
  end

  # --- messages

  # Stores the raw message, then the row, then (unless queue: false) the queue entry: whatever step a process dies
  # in, a message that was acknowledged is in the queue. `attributes`: further columns of `messages`.
  def insert(rcpt_to:, mail_from:, raw:, scope: "outgoing", queue: true, **attributes)
    columns = store_raw(raw.b).merge(headers_of(raw)).merge(
      rcpt_to: rcpt_to, mail_from: mail_from, scope: scope, size: raw.bytesize, status: "Pending",
      token: SecureRandom.alphanumeric(16), timestamp: Time.now.to_f
    )
    id = @database.insert("messages", columns.merge(attributes.compact))
    count(scope)
    message(id).tap { |stored| enqueue(stored) if queue }
  end

  # `query`: an id, or columns such as {token: "abc"}. Raises NotFound.
  def message(query)
    where = query.is_a?(Hash) ? query : { id: query.to_i }
    row = @database.select("messages", where: where, limit: 1).first
    raise NotFound, "No message found matching #{where}" unless row

    Message.new(self, row)
  end

  # Oldest first. `where`: further columns; a list means any of its values.
  def messages(status: nil, where: {}, limit: nil)
    where = where.merge(status: status) if status
    @database.select("messages", where: where, order: "id", limit: limit).map { |row| Message.new(self, row) }
  end

  def count_messages(where = {})
    @database.count("messages", where)
  end

  # Puts a message (back) into the queue. `columns`: further columns of queued_messages, such as manual: true.
  def enqueue(message, **columns)
    QueuedMessage.create!(
      server: server, message_id: message.id, domain: message.recipient_domain, batch_key: message.batch_key,
      route_id: message.route_id, **columns
    )
  end

  # --- suppression list

  # The reason while the address is on the list (30 days unless configured otherwise), else nil.
  def suppressed?(address)
    rows = @database.select("suppressions", where: { type: SUPPRESSED_RECIPIENT, address: address })
    rows.find { |row| row["keep_until"] >= Time.now.to_f }&.fetch("reason")
  end

  # Again for an address that is listed: only its reason and its time are renewed.
  def suppress(address, reason:)
    keep_until = Postal::Config.postal.default_suppression_list_automatic_removal_days.days.from_now.to_f
    key = { type: SUPPRESSED_RECIPIENT, address: address }
    if @database.count("suppressions", key).positive?
      @database.update("suppressions", { reason: reason, keep_until: keep_until }, key)
    else
      @database.insert("suppressions", **key, reason: reason, timestamp: Time.now.to_f, keep_until: keep_until)
    end
  end

  def unsuppress(address)
    @database.delete("suppressions", type: SUPPRESSED_RECIPIENT, address: address).positive?
  end

  # How many messages to `address` failed for good in the last `period` seconds.
  def hard_fails_within(period, address)
    since = (Time.now - period).to_f
    @database.select("messages", where: { rcpt_to: address, status: "HardFail" })
             .count { |row| row["last_delivery_attempt"].to_f > since }
  end

  # --- used by Message

  def update_message(id, columns)
    @database.update("messages", columns, id: id)
  end

  def insert_delivery(columns)
    @database.insert("deliveries", columns)
  end

  def deliveries_of(message_id)
    @database.select("deliveries", where: { message_id: message_id }, order: "timestamp")
  end

  def raw_part(table, id)
    @database.select(table, where: { id: id }, limit: 1).first&.fetch("data").to_s
  end

  def replace_raw_part(table, id, data)
    @database.update(table, { data: data.b }, id: id)
  end

  private

  def store_raw(raw)
    table = Time.now.utc.strftime("raw-%Y-%m-%d")
    headers, body = raw.split(BLANK_LINE, 2)
    columns = { raw_table: table, **insert_raw(table, headers.to_s, body.to_s) }
    @database.execute(
      "UPDATE #{@database.table('raw_message_sizes')} SET size = size + #{raw.bytesize} WHERE table_name = '#{table}'"
    )
    columns
  end

  def insert_raw(table, headers, body)
    { raw_headers_id: @database.insert(table, data: headers), raw_body_id: @database.insert(table, data: body) }
  rescue PostalStandin::MessageDatabase::NoSuchTable
    # The first message of the day.
    made = @database.create_table(table, RAW_COLUMNS)
    @database.insert("raw_message_sizes", table_name: table, size: 0) if made
    retry
  end

  def headers_of(raw)
    headers = Message.parse_headers(raw.b.split(BLANK_LINE, 2).first.to_s)
    message_id = headers["message-id"]&.last.to_s[/<?([^<>]*)>?/, 1].strip
    { subject: headers["subject"]&.last.to_s[0, 200], message_id: message_id }.reject { |_name, value| value.empty? }
  end

  def count(scope)
    Statistic.update_counters(Statistic.global.id, total_messages: 1, "total_#{scope}": 1)
  end
end
