# frozen_string_literal: true

require "mail"
require "securerandom"
require "postal_standin/smtp_server_submission"

module PostalStandin
  # /send/message and /send/raw. Both store one message for each recipient and answer
  # {message_id, messages: {recipient => {id, token}}}.
  module ApiSend
    MAX_RECIPIENTS = 50 # in each of to, cc and bcc

    MESSAGES = {
      "NoRecipients" => "There are no recipients defined to receive this message",
      "NoContent" => "There is no content defined for this e-mail",
      "TooManyToAddresses" => "The maximum number of To addresses has been reached (maximum 50)",
      "TooManyCCAddresses" => "The maximum number of CC addresses has been reached (maximum 50)",
      "TooManyBCCAddresses" => "The maximum number of BCC addresses has been reached (maximum 50)",
      "FromAddressMissing" => "The From address is missing and is required",
      "UnauthenticatedFromAddress" => "The From address is not authorised to send mail from this server",
      "AttachmentMissingName" => "An attachment is missing a name",
      "AttachmentMissingData" => "An attachment is missing data"
    }.freeze

    module_function

    def message(call)
      draft = Draft.new(call)
      code = draft.problem
      raise Api::Refused.new(code, message: MESSAGES.fetch(code)) if code

      raw = draft.mail.to_s
      stored = draft.recipients.to_h do |address|
        [address, insert(call, rcpt_to: address, mail_from: draft.sender, raw: raw, domain: draft.domain,
                               tag: call.parameters["tag"])]
      end
      { message_id: draft.message_id, messages: summary(stored) }
    end

    def raw(call)
      recipients, mail_from, data = call.parameters.values_at("rcpt_to", "mail_from", "data")
      raise Api::BadParameter, "rcpt_to" unless recipients.is_a?(Array)
      raise Api::BadParameter, "mail_from" if mail_from.to_s.strip.empty?
      raise Api::BadParameter, "data" if data.to_s.strip.empty?

      raw = data.unpack1("m")
      domain = call.server.find_authenticated_domain_from_headers(senders_of(raw))
      raise Api::Refused, "UnauthenticatedFromAddress" unless domain

      stored = recipients.uniq.to_h do |address|
        [address, insert(call, rcpt_to: address, mail_from: mail_from, raw: raw, domain: domain)]
      end
      { message_id: stored.values.first&.message_id, messages: summary(stored) }
    end

    def insert(call, domain:, **values)
      call.server.message_db.insert(**values, scope: "outgoing", domain_id: domain.id, received_with_ssl: true,
                                              credential_id: call.credential.id,
                                              bounce: call.parameters["bounce"] ? true : false)
    end

    def senders_of(raw)
      head = Mail.new(raw.split("\r\n\r\n", 2).first)
      { "from" => Array(head.from), "sender" => Array(head.sender) }
    end

    def summary(stored)
      stored.transform_values { |message| { id: message.id, token: message.token } }
    end

    # A message described by parameters.
    class Draft
      attr_reader :message_id

      def initialize(call)
        @call = call
        @values = call.parameters
        @message_id = "#{SecureRandom.uuid}@#{Postal::Config.dns.return_path_domain}"
      end

      # The first error code, or nil.
      def problem
        recipient_problem || content_problem || attachment_problem
      end

      def recipients
        %w[to cc bcc].flat_map { |name| addresses(name) }.map { |text| bare(text) }.uniq
      end

      def sender
        bare(@values["from"])
      end

      def domain
        return @domain if defined?(@domain)

        @domain = @call.server.authenticated_domain_for_address(@values["from"])
        @domain ||= @call.server.authenticated_domain_for_address(@values["sender"]) if @call.server.allow_sender?
        @domain
      end

      def mail
        mail = Mail.new
        custom_headers.each { |name, value| mail[name] = value.to_s }
        %w[to cc].each { |name| mail[name] = addresses(name).join(", ") if addresses(name).any? }
        %w[from sender subject reply_to].each { |name| mail[name] = @values[name] if @values[name] }
        add_bodies(mail)
        attachments.each { |item| mail.attachments[item["name"]] = file(item) }
        mail.header["Received"] = ReceivedHeader.value(:http, server: @call.server, helo: "api", address: @call.address)
        mail.message_id = "<#{@message_id}>"
        mail
      end

      private

      def addresses(name)
        value = @values[name]
        value.is_a?(String) ? value.split(/,\s*/) : Array(value)
      end

      def bare(text)
        (text.to_s[/<([^<>]*)>/, 1] || text.to_s).strip
      end

      def recipient_problem
        return "NoRecipients" if %w[to cc bcc].all? { |name| addresses(name).empty? }

        codes = { "to" => "TooManyToAddresses", "cc" => "TooManyCCAddresses", "bcc" => "TooManyBCCAddresses" }
        codes.find { |name, _code| addresses(name).size > MAX_RECIPIENTS }&.last
      end

      def content_problem
        if blank?(@values["plain_body"]) && blank?(@values["html_body"]) then "NoContent"
        elsif blank?(@values["from"]) then "FromAddressMissing"
        elsif domain.nil? then "UnauthenticatedFromAddress"
        end
      end

      def attachment_problem
        bad = attachments.find { |item| blank?(item["name"]) || blank?(item["data"]) }
        return unless bad

        blank?(bad["name"]) ? "AttachmentMissingName" : "AttachmentMissingData"
      end

      def blank?(value)
        value.to_s.strip.empty?
      end

      def attachments
        Array(@values["attachments"]).grep(Hash)
      end

      def custom_headers
        headers = @values["headers"]
        headers.is_a?(Hash) ? headers : {}
      end

      def file(item)
        { mime_type: item["content_type"] || "application/octet-stream", content: item["data"].unpack1("m") }
      end

      def add_bodies(mail)
        plain, html = @values.values_at("plain_body", "html_body")
        bodies = Mail::Part.new(content_type: "multipart/alternative")
        bodies.add_part(text_part("text/plain", plain)) unless blank?(plain)
        bodies.add_part(text_part("text/html", html)) unless blank?(html)
        mail.add_part(bodies)
      end

      def text_part(type, text)
        Mail::Part.new(content_type: "#{type}; charset=UTF-8", body: text)
      end
    end
  end
end
