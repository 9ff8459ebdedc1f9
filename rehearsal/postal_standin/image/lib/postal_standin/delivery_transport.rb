# frozen_string_literal: true

require "securerandom"
require "postal_standin/delivery_host"

module PostalStandin
  # What became of one attempt. status: Sent, SoftFail or HardFail. retry_after: true (Postal's own delays) or
  # seconds; nil = no further attempt.
  Outcome = Struct.new(:status, :details, :output, :secured, :log_id, :time, :retry_after, :no_connection,
                       keyword_init: true)

  # Hands messages for one destination to the first server that answers.
  class Transport
    TEMPORARY = [Net::SMTPServerBusy, Net::SMTPAuthenticationError, Net::SMTPSyntaxError, Net::SMTPUnknownError,
                 Net::ReadTimeout].freeze
    GREYLIST_MARGIN = 10 # seconds added to a delay the server names

    # hosts: given servers instead of the relays; recipient: given RCPT TO instead of the message's.
    def initialize(domain, hosts: nil, recipient: nil)
      @domain = domain
      @hosts = hosts
      @recipient = recipient
      @tried = []
      @errors = []
      @log_id = SecureRandom.alphanumeric(8).upcase
    end

    # Every relay goes before the recipient's MX; without relays the MX is asked for.
    def connect
      servers = @hosts || relays || mx_hosts
      servers.each do |host|
        host.addresses.each { |address| return if try(address) }
      end
    end

    def deliver(message)
      return no_server unless @address

      sender = envelope_sender(message)
      raw = message.raw
      raw = "Resent-Sender: #{sender}\r\n".b + raw if Postal::Config.postal.use_resent_sender_header?
      transmit(raw, sender, @recipient || message.rcpt_to)
    end

    def finish
      @address&.close
    end

    private

    def relays
      configured = Postal::Config.postal.smtp_relays.reject { |relay| relay.host.to_s.empty? }
      return nil if configured.empty?

      configured.map { |relay| SmtpHost.new(hostname: relay.host, port: relay.port, ssl_mode: relay.ssl_mode) }
    end

    def mx_hosts
      names = DNSResolver.local.mx(@domain).map(&:last)
      (names.empty? ? [@domain] : names).map { |name| SmtpHost.new(hostname: name) }
    end

    def try(address, allow_tls: true)
      @tried |= [address.host.hostname]
      address.open(allow_tls: allow_tls)
      @address = address
    rescue StandardError => e
      address.close
      return try(address, allow_tls: false) if allow_tls && without_tls_after?(e, address)

      Postal.logger.error("Cannot connect to #{address} (#{e.class}: #{e.message})")
      @errors |= [e.message]
      nil
    end

    def without_tls_after?(error, address)
      error.is_a?(OpenSSL::SSL::SSLError) && address.host.ssl_mode == "Auto"
    end

    # Bounces have no sender. The domain's own return path is used once its CNAME was found.
    def envelope_sender(message)
      return "" if message.bounce

      domain = message.domain
      own = domain&.return_path_status == "OK"
      "#{message.server.token}@#{own ? domain.return_path_domain : Postal::Config.dns.return_path_domain}"
    end

    def transmit(raw, sender, recipient)
      started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      reply = @address.transmit(raw, sender, recipient)
      outcome("Sent", "Message for #{recipient} accepted by #{@address}", reply.string, since: started)
    rescue *TEMPORARY => e
      failed("SoftFail", "Temporary SMTP delivery error when sending to #{@address}", e, started, delay_in(e.message))
    rescue Net::SMTPFatalError => e
      failed("HardFail", "Permanent SMTP delivery error when sending to #{@address}", e, started, nil)
    rescue StandardError => e
      failed("SoftFail", "An error occurred while sending the message to #{@address}", e, started, true)
    end

    def failed(status, details, error, started, retry_after)
      Postal.logger.error("#{error.class}: #{error.message}")
      result = outcome(status, details, error.message, since: started, retry_after: retry_after)
      @address.reset
      result
    end

    def delay_in(text)
      if (match = /(\d+) seconds/.match(text)) then match[1].to_i + GREYLIST_MARGIN
      elsif (match = /(\d+) minutes/.match(text)) then (match[1].to_i * 60) + GREYLIST_MARGIN
      else true
      end
    end

    def no_server
      tried = @tried.empty? ? "No hosts to try." : "Tried #{@tried.to_sentence}."
      outcome("SoftFail", "No SMTP servers were available for #{@domain}. #{tried}", @errors.join(", "),
              retry_after: true, no_connection: true)
    end

    def outcome(status, details, output, since: nil, **more)
      time = since && (Process.clock_gettime(Process::CLOCK_MONOTONIC) - since).round(2)
      Outcome.new(status: status, details: details, output: output.strip, secured: @address&.secured? || false,
                  log_id: @log_id, time: time, **more)
    end
  end
end
