# frozen_string_literal: true

require "postal_standin/delivery_incoming"
require "postal_standin/delivery_outgoing"
require "postal_standin/delivery_transport"

module PostalStandin
  # One attempt at one queued message. It ends in a row of the deliveries table and either leaves the queue or is
  # unlocked with a later time.
  class Delivery
    # A verdict reached without sending: status Held, HardFail or Processed.
    Verdict = Struct.new(:status, :details)

    # Everything a server in Development mode has is held, unless somebody queued it by hand.
    def self.development_hold(queued)
      return if queued.manual? || queued.server.mode != "Development"

      Verdict.new("Held", "Server is in development mode.")
    end

    # transports: shared by the messages of one batch, so that they use one session.
    def initialize(queued, transports)
      @queued = queued
      @transports = transports
    end

    def run
      return @queued.destroy unless message

      verdict = common_verdict || processor.verdict
      verdict ? finish_with(verdict) : attempt
    rescue StandardError => e
      note_error(e)
    end

    private

    def message
      @message ||= @queued.message
    end

    def processor
      @processor ||= (message.scope == "outgoing" ? Outgoing : Incoming).new(@queued, message, @transports)
    end

    def common_verdict
      return Verdict.new("Held", "Mail server has been suspended. No e-mails can be processed at present.") if
        @queued.server.suspended?
      return give_up if @queued.attempts >= Postal::Config.postal.default_maximum_delivery_attempts

      Verdict.new("HardFail", "Raw message has been removed. Cannot send message.") if message.raw.to_s.empty?
    end

    # After the last attempt the recipient of an outgoing message is suppressed.
    def give_up
      details = "Maximum number of delivery attempts (#{@queued.attempts}) has been reached."
      if message.scope == "outgoing"
        @queued.server.message_db.suppress(message.rcpt_to, reason: "too many soft fails")
        details += " Added #{message.rcpt_to} to suppression list."
      end
      Verdict.new("HardFail", details)
    end

    def finish_with(verdict)
      message.add_delivery(status: verdict.status, details: verdict.details)
      @queued.destroy
    end

    def attempt
      outcome = processor.send_message
      note = processor.after(outcome)
      message.add_delivery(status: outcome.status, details: [outcome.details, note].compact.join(". "),
                           output: outcome.output, sent_with_ssl: outcome.secured, log_id: outcome.log_id,
                           time: outcome.time)
      return @queued.destroy unless outcome.retry_after

      @queued.retry_later(outcome.retry_after.is_a?(Integer) ? outcome.retry_after : nil)
    end

    # Something of ours failed: the message stays in the queue and says so.
    def note_error(error)
      Postal.logger.error("#{error.class}: #{error.message}\n#{Array(error.backtrace).first(5).join("\n")}")
      @queued.retry_later unless @queued.destroyed?
      message&.add_delivery(status: "Error", output: "#{error.class}: #{error.message}",
                            details: "An internal error occurred while sending this message. " \
                                     "This message will be retried automatically.")
    end
  end
end
