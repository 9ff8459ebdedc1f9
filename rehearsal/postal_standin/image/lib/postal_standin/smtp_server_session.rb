# frozen_string_literal: true

require "securerandom"
require "postal_standin/smtp_server_metrics"
require "postal_standin/smtp_server_auth"
require "postal_standin/smtp_server_recipients"
require "postal_standin/smtp_server_submission"

module PostalStandin
  class SMTPServer
    # The SMTP conversation with one client, without the socket: lines in, replies out.
    # Codes and their texts are Postal's; clients and their tests match on them.
    class Session
      COMMANDS = {
        /\AQUIT/i => :quit, /\ASTARTTLS/i => :starttls, /\AEHLO/i => :ehlo, /\AHELO/i => :helo, /\ARSET/i => :rset,
        /\ANOOP/i => :noop, /\AAUTH (PLAIN|LOGIN|CRAM-MD5)/i => :auth, /\AMAIL FROM/i => :mail_from,
        /\ARCPT TO/i => :rcpt_to, /\ADATA/i => :data
      }.freeze

      attr_accessor :credential
      attr_reader :address, :helo_name, :mail_from_address, :recipients

      def initialize(address, proxied: false)
        @address = address
        @trace_id = SecureRandom.alphanumeric(8).upcase
        @last_line_had_cr = nil
        @tls = false
        @finished = false
        @next_line = proxied ? method(:proxy) : nil
        reset
        @state = :welcome
      end

      def greeting
        "220 #{Postal::Config.postal.smtp_hostname} ESMTP Postal/#{@trace_id}"
      end

      # One line without its LF; the replies to it (often none while a message is received).
      def receive(line)
        has_cr = line.end_with?("\r")
        line = line.delete_suffix("\r")
        @end_of_data = line == "." && has_cr && @last_line_had_cr
        Array(@next_line ? @next_line.call(line) : command(line.dup.force_encoding("UTF-8").scrub))
      ensure
        @last_line_had_cr = has_cr
      end

      def finished?
        @finished
      end

      def tls?
        @tls
      end

      # True once after STARTTLS: the caller does the handshake.
      def take_starttls
        wanted = @starttls
        @starttls = false
        wanted
      end

      # The next line goes to this block instead of to the commands.
      def expect_line(&block)
        @next_line = lambda do |line|
          @next_line = nil
          block.call(line)
        end
      end

      def refuse(reason, reply)
        METRICS.increment(:postal_smtp_server_client_errors, error: reason)
        reply
      end

      def count_message(type)
        METRICS.increment(:postal_smtp_server_messages_total, type: type, tls: @tls ? "yes" : "no")
      end

      private

      def command(line)
        _pattern, action = COMMANDS.find { |pattern, _action| pattern.match?(line) }
        action ? send(action, line) : refuse("invalid-command", "502 Invalid/unsupported command")
      end

      def count_command(name)
        METRICS.increment(:postal_smtp_server_commands_total, command: name)
      end

      def reset
        @recipients = []
        @mail_from_address = nil
      end

      # HAProxy's PROXY protocol, version 1: the client's address comes in the first line.
      def proxy(line)
        @next_line = nil
        match = /\APROXY (\S+) (\S+) (\S+) (\S+) (\S+)\z/.match(line)
        unless match
          @finished = true
          return refuse("proxy-error", "502 Proxy Error")
        end
        @address = match[2]
        count_command("PROXY")
        greeting
      end

      def quit(_line)
        @finished = true
        "221 Closing Connection"
      end

      def starttls(_line)
        return refuse("tls-unavailable", "502 TLS not available") unless Postal::Config.smtp_server.tls_enabled?

        @starttls = true
        @tls = true
        count_command("STARTLS")
        "220 Ready to start TLS"
      end

      # AUTH is offered and taken without TLS too: Postal has no setting against it.
      def ehlo(line)
        greet(line, "EHLO")
        offer_tls = Postal::Config.smtp_server.tls_enabled? && !@tls
        ["250-My capabilities are", ("250-STARTTLS" if offer_tls), "250 AUTH CRAM-MD5 PLAIN LOGIN"].compact
      end

      def helo(line)
        greet(line, "HELO")
        "250 #{Postal::Config.postal.smtp_hostname}"
      end

      def greet(line, command)
        @helo_name = line.split(" ", 2)[1].to_s.strip
        reset
        @state = :welcomed
        count_command(command)
      end

      def rset(_line)
        reset
        @state = :welcomed
        count_command("RSET")
        "250 OK"
      end

      def noop(_line)
        "250 OK"
      end

      def auth(line)
        _verb, mechanism, argument = line.split(" ", 3)
        count_command("AUTH #{mechanism.upcase}")
        Auth.new(self).start(mechanism.upcase, argument.to_s.strip)
      end

      def mail_from(line)
        unless %i[welcomed mail_from_received].include?(@state)
          return refuse("mail-from-out-of-order", "503 EHLO/HELO first please")
        end

        reset
        @state = :mail_from_received
        @mail_from_address = bare_address(line.sub(/ *AUTH=.*/, ""), /MAIL FROM\s*:\s*/i)
        "250 OK"
      end

      def rcpt_to(line)
        unless %i[mail_from_received rcpt_to_received].include?(@state)
          return refuse("rcpt-to-out-of-order", "503 EHLO/HELO and MAIL FROM first please")
        end

        reply, known = Recipients.new(self).add(bare_address(line, /RCPT TO\s*:\s*/i))
        @state = :rcpt_to_received if known
        reply
      end

      def bare_address(line, verb)
        line.sub(verb, "").sub(/.*</, "").sub(/>.*/, "").strip
      end

      def data(_line)
        unless @state == :rcpt_to_received
          return refuse("data-out-of-order", "503 HELO/EHLO, MAIL FROM and RCPT TO before sending data")
        end

        submission = Submission.new(self)
        @next_line = ->(line) { @end_of_data ? finish_data(submission) : submission.add_line(line) }
        "354 Go ahead"
      end

      # Only CRLF.CRLF ends a message: a bare LF before or after the dot is content (SMTP smuggling).
      def finish_data(submission)
        @next_line = nil
        submission.finish
      ensure
        reset
        @state = :welcomed
      end
    end
  end
end
