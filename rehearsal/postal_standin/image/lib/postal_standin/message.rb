# frozen_string_literal: true

require "mail"

class MessageStore
  # One row of `messages`; every column is a method. `timestamp` and the like are seconds since 1970 (decimal).
  class Message
    # Postal's delivery rows keep no more of the other side's words.
    KEPT_TEXT = 250 # characters
    WEBHOOK_OF_STATUS = {
      "Sent" => "MessageSent", "SoftFail" => "MessageDelayed", "HardFail" => "MessageDeliveryFailed",
      "Held" => "MessageHeld", "Bounced" => "MessageBounced"
    }.freeze

    attr_reader :store

    # Name in lower case => list of decoded values.
    def self.parse_headers(text)
      Mail::Header.new(text).fields.each_with_object({}) do |field, found|
        (found[field.name.downcase] ||= []) << field.decoded.to_s
      rescue Mail::Field::ParseError
        next
      end
    end

    def initialize(store, row)
      @store = store
      @row = row
    end

    def method_missing(name, *arguments)
      return super unless arguments.empty? && @row.key?(name.to_s)

      @row[name.to_s]
    end

    def respond_to_missing?(name, include_private = false)
      @row.key?(name.to_s) || super
    end

    def [](column)
      @row[column.to_s]
    end

    def to_h
      @row.dup
    end

    def reload
      store.message(id)
    end

    def server
      store.server
    end

    def domain
      domain_id && Domain.find_by(id: domain_id)
    end

    def credential
      credential_id && Credential.find_by(id: credential_id)
    end

    def route
      route_id && Route.find_by(id: route_id)
    end

    # --- content

    # The whole message, as bytes, CRLF between headers and body. Empty parts once retention dropped the day's table.
    def raw
      "#{raw_headers}\r\n\r\n#{raw_body}".b
    end

    def raw_headers
      raw_table ? store.raw_part(raw_table, raw_headers_id) : ""
    end

    def raw_body
      raw_table ? store.raw_part(raw_table, raw_body_id) : ""
    end

    def headers
      self.class.parse_headers(raw_headers)
    end

    # Puts header lines (without line ends) in front of the stored ones: the DKIM signature, X-Postal-MsgID.
    def prepend_headers(*lines)
      store.replace_raw_part(raw_table, raw_headers_id, [*lines, raw_headers].map(&:b).join("\r\n"))
    end

    def recipient_domain
      rcpt_to&.split("@")&.last
    end

    # Messages with one key may be sent in one SMTP session.
    def batch_key
      return "outgoing-#{recipient_domain}" if scope == "outgoing"

      "incoming-rt:#{route_id}-ep:#{endpoint_id}-#{endpoint_type}"
    end

    # --- state

    def update(**columns)
      store.update_message(id, columns)
      columns.each { |name, value| @row[name.to_s] = value }
      self
    end

    # Records an attempt and gives the message its status. Returns the row as a hash.
    def add_delivery(status:, details: nil, output: nil, sent_with_ssl: false, log_id: nil, time: nil)
      now = Time.now.to_f
      row = {
        message_id: id, status: status, details: shorten(details), output: shorten(output),
        sent_with_ssl: sent_with_ssl, log_id: log_id, time: time, timestamp: now
      }
      row[:id] = store.insert_delivery(row)
      held = status == "Held"
      expiry = held ? Postal::Config.postal.default_maximum_hold_expiry_days.days.from_now.to_f : nil
      update(status: status, last_delivery_attempt: now, held: held, hold_expiry: expiry)
      report(row)
      row
    end

    # Oldest first, as hashes with text keys.
    def deliveries
      store.deliveries_of(id)
    end

    def queued_message
      QueuedMessage.find_by(server_id: server.id, message_id: id)
    end

    # What a webhook says about a message.
    def summary
      {
        id: id, token: token, direction: scope, message_id: message_id, to: rcpt_to, from: mail_from,
        subject: subject, timestamp: timestamp.to_f, spam_status: "NotChecked", tag: tag
      }
    end

    private

    def shorten(text)
      text&.dup&.force_encoding("UTF-8")&.scrub&.slice(0, KEPT_TEXT)
    end

    def report(row)
      event = WEBHOOK_OF_STATUS[row[:status]]
      WebhookRequest.trigger(server, event, { message: summary, **row.slice(:status, :details, :output) }) if event
    end
  end
end
