# frozen_string_literal: true

require "time"

module PostalStandin
  class SMTPServer
    # The message of one DATA: collects its lines, then checks and stores it.
    class Submission
      MAX_RECEIVED = 4 # Received headers of our own before a message is taken for a loop

      def initialize(session)
        @session = session
        @raw = +"".b
        @headers = Hash.new { |headers, name| headers[name] = [] }
        @in_headers = true
        trace = ReceivedHeader.value(:smtp, server: session.credential&.server, helo: session.helo_name,
                                            address: session.address)
        @raw << "Received: #{trace}\r\n"
        @headers["received"] << trace
      end

      def add_line(line)
        line = line.delete_prefix(".") if line.start_with?("..")
        read_header(line) if @in_headers
        @raw << line.b << "\r\n"
        nil
      end

      # The reply to the final dot.
      def finish
        limit = Postal::Config.smtp_server.max_message_size
        if @raw.bytesize > limit * 1024 * 1024
          return @session.refuse("message-too-large", "552 Message too large (maximum size #{limit}MB)")
        end
        return @session.refuse("loop-detected", "550 Loop detected") if loop?

        domain = nil
        if @session.credential
          domain = @session.credential.server.find_authenticated_domain_from_headers(@headers)
          return @session.refuse("from-name-invalid", "530 From/Sender name is not valid") unless domain
        end
        @session.recipients.each { |recipient| store(recipient, domain) }
        "250 OK"
      end

      private

      def read_header(line)
        text = line.dup.force_encoding("UTF-8").scrub
        if text.empty?
          @in_headers = false
        elsif text.match?(/\A\s/)
          @headers[@name].last&.<<(text) if @name
        else
          name, value = text.split(/:\s*/, 2)
          @name = name.downcase
          @headers[@name] << value.to_s.dup
        end
      end

      def loop?
        by_us = "by #{Postal::Config.postal.smtp_hostname}"
        @headers["received"].count { |value| value.include?(by_us) } > MAX_RECEIVED
      end

      def store(recipient, domain)
        case recipient.kind
        when :credential
          insert(recipient, "outgoing", scope: "outgoing", domain_id: domain.id, credential_id: @session.credential.id)
        when :bounce
          insert(recipient, "bounce", scope: "incoming", bounce: true, **return_path_route(recipient.server))
        else
          insert(recipient, "incoming", scope: "incoming", **route_columns(recipient.route))
        end
      end

      def insert(recipient, type, **columns)
        @session.count_message(type)
        recipient.server.message_db.insert(
          rcpt_to: recipient.address, mail_from: @session.mail_from_address, raw: @raw,
          received_with_ssl: @session.tls?, **columns
        )
      end

      def return_path_route(server)
        route = ::Route.find_by(server_id: server.id, name: "__returnpath__")
        route ? route_columns(route) : {}
      end

      def route_columns(route)
        { domain_id: route.domain_id, route_id: route.id }
      end
    end
  end

  # The Received header Postal writes; "from ..." is left out for servers in privacy mode.
  module ReceivedHeader
    module_function

    def value(protocol, server:, helo:, address:)
      host = protocol == :smtp ? Postal::Config.postal.smtp_hostname : Postal::Config.postal.web_hostname
      stamp = "by #{host} with #{protocol.to_s.upcase}; #{Time.now.utc.rfc2822}"
      return stamp if server&.privacy_mode

      "from #{helo} (#{name_of(address)} [#{address}]) #{stamp}"
    end

    def name_of(address)
      limit = Postal::Config.dns.timeout
      Resolv::DNS.open(nameserver: DNSResolver.local.nameservers) do |dns|
        dns.timeouts = [limit, limit / 2, limit / 2]
        dns.getname(address).to_s
      end
    rescue Resolv::ResolvError
      address
    end
  end
end
