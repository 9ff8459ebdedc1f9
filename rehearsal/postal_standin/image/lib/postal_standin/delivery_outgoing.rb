# frozen_string_literal: true

require "postal_standin/dkim"

module PostalStandin
  class Delivery
    # Outgoing messages: reasons not to send, DKIM, sending, the suppression list.
    class Outgoing
      def initialize(queued, message, transports)
        @queued = queued
        @message = message
        @transports = transports
        @store = queued.server.message_db
      end

      # In Postal's order. The headers are added before the Development check, so that a message released from hold
      # by hand is already signed.
      def verdict
        return Verdict.new("HardFail", "Message's domain no longer exist") unless @message.domain
        return Verdict.new("HardFail", "Message doesn't have an RCPT to") if @message.rcpt_to.to_s.empty?

        add_tag
        held = reason_to_hold unless @queued.manual?
        return Verdict.new("Held", held) if held

        add_headers
        Delivery.development_hold(@queued)
      end

      def send_message
        @transports.for(@message.rcpt_to.split("@").last).deliver(@message)
      end

      # Keeps the suppression list; returns what the delivery's details should add.
      def after(outcome)
        recipient = @message.rcpt_to
        if outcome.status == "Sent"
          "Recipient removed from suppression list" if @store.unsuppress(recipient)
        elsif outcome.status == "HardFail" && @store.hard_fails_within(24.hours, recipient).positive?
          @store.suppress(recipient, reason: "too many hard fails")
          "Recipient added to suppression list (too many hard fails)"
        end
      end

      private

      def add_tag
        tag = @message.headers["x-postal-tag"]&.last
        @message.update(tag: tag) if tag && !@message.tag
      end

      def reason_to_hold
        if @message.credential&.hold?
          return "Credential is configured to hold all messages authenticated by it."
        end

        suppression = @store.suppressed?(@message.rcpt_to)
        "Recipient (#{@message.rcpt_to}) is on the suppression list (reason: #{suppression})" if suppression
      end

      # Once: later attempts send the headers of the first.
      def add_headers
        return if @message.headers.key?("x-postal-msgid")

        signature = Dkim.for(@message.domain, @message.raw).header
        @message.prepend_headers(signature, "X-Postal-MsgID: #{@message.token}")
      end
    end
  end
end
