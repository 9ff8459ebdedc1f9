# frozen_string_literal: true

require "mail"
require "openssl"

module PostalStandin
  # /messages/message and /messages/deliveries: what became of a message of the credential's server.
  module ApiMessages
    module_function

    def message(call)
      message = find(call)
      wanted = call.parameters["_expansions"]
      details = DETAILS.select { |name, _reader| wanted == true || Array(wanted).include?(name) }
      { id: message.id, token: message.token, **details.to_h { |name, reader| [name.to_sym, reader.call(message)] } }
    end

    def deliveries(call)
      find(call).deliveries.map do |delivery|
        { id: delivery["id"], status: delivery["status"], details: delivery["details"],
          output: delivery["output"]&.strip, sent_with_ssl: delivery["sent_with_ssl"], log_id: delivery["log_id"],
          time: delivery["time"]&.to_f, timestamp: delivery["timestamp"].to_f }
      end
    end

    def find(call)
      id = call.parameters["id"]
      raise Api::BadParameter, "id" if id.to_s.strip.empty?

      call.server.message(id)
    rescue MessageStore::NotFound
      raise Api::Refused.new("MessageNotFound", message: "No message found matching provided ID", id: id)
    end

    STATUS = lambda do |message|
      { status: message.status, last_delivery_attempt: message.last_delivery_attempt&.to_f, held: message.held,
        hold_expiry: message.hold_expiry&.to_f }
    end

    FACTS = lambda do |message|
      { rcpt_to: message.rcpt_to, mail_from: message.mail_from, subject: message.subject,
        message_id: message.message_id, timestamp: message.timestamp.to_f, direction: message.scope,
        size: message.size, bounce: message.bounce, bounce_for_id: message.bounce_for_id, tag: message.tag,
        received_with_ssl: message.received_with_ssl }
    end

    INSPECTION = lambda do |message|
      { inspected: message.inspected, spam: message.spam, spam_score: message.spam_score.to_f,
        threat: message.threat, threat_details: message.threat_details }
    end

    ATTACHMENTS = lambda do |message|
      Mail.new(message.raw).attachments.map do |attachment|
        data = attachment.decoded
        { filename: attachment.filename.to_s, content_type: attachment.mime_type, data: [data].pack("m"),
          size: data.bytesize, hash: OpenSSL::Digest.hexdigest("SHA1", data) }
      end
    end

    DETAILS = {
      "status" => STATUS,
      "details" => FACTS,
      "inspection" => INSPECTION,
      "plain_body" => ->(message) { body_of(message, "text/plain") },
      "html_body" => ->(message) { body_of(message, "text/html") },
      "attachments" => ATTACHMENTS,
      "headers" => ->(message) { message.headers },
      "raw_message" => ->(message) { [message.raw].pack("m") },
      "activity_entries" => ->(_message) { { loads: [], clicks: [] } }
    }.freeze

    def body_of(message, type)
      mail = Mail.new(message.raw)
      parts = mail.multipart? ? mail.all_parts : [mail]
      parts.find { |part| part.mime_type == type && !part.attachment? }&.decoded
    end
  end
end
