# frozen_string_literal: true

require "net/smtp"
require "openssl"

module PostalStandin
  # An SMTP server to deliver to: a relay of postal.smtp_relays, an MX host or a route's SMTP endpoint.
  SmtpHost = Struct.new(:hostname, :port, :ssl_mode, keyword_init: true) do
    def initialize(hostname:, port: 25, ssl_mode: "Auto")
      super
    end

    # Addresses by raw DNS only, IPv6 first. An IP literal or a name of /etc/hosts has none.
    def addresses
      resolver = DNSResolver.local
      (resolver.aaaa(hostname) + resolver.a(hostname)).map { |address| HostAddress.new(self, address) }
    end
  end

  # One address of an SmtpHost and the session with it.
  class HostAddress
    # Net::SMTP that can say whether its socket is encrypted.
    class Connection < Net::SMTP
      def secured?
        @socket&.io.is_a?(OpenSSL::SSL::SSLSocket)
      end
    end

    attr_reader :host

    def initialize(host, address)
      @host = host
      @address = address
    end

    def to_s
      "#{@address}:#{@host.port} (#{@host.hostname})"
    end

    def self.helo_name
      Postal::Config.dns.helo_hostname || Postal::Config.postal.smtp_hostname || "localhost"
    end

    def open(allow_tls: true)
      @connection = Connection.new(@address, @host.port)
      @connection.open_timeout = Postal::Config.smtp_client.open_timeout
      @connection.read_timeout = Postal::Config.smtp_client.read_timeout
      @connection.tls_hostname = @host.hostname
      choose_tls(allow_tls ? @host.ssl_mode : "None")
      @connection.start(helo: self.class.helo_name)
    end

    # One transaction. A connection that broke since the last one is opened again, once.
    def transmit(raw, sender, recipient, reopen: true)
      @connection.send_message(raw, sender, [recipient])
    rescue Errno::ECONNRESET, Errno::EPIPE, OpenSSL::SSL::SSLError
      raise unless reopen

      close
      open
      transmit(raw, sender, recipient, reopen: false)
    end

    def secured?
      @connection&.secured? || false
    end

    def reset
      @connection&.rset
    rescue StandardError
      close
    end

    def close
      @connection&.finish
    rescue StandardError
      nil
    ensure
      @connection = nil
    end

    private

    # The modes are compared letter by letter, and the mandatory STARTTLS mode really is spelt "STARTLS": every
    # other word, the correct spelling included, means no TLS at all.
    def choose_tls(mode)
      @connection.disable_tls
      @connection.disable_starttls
      case mode
      when "Auto" then @connection.enable_starttls_auto(unverified)
      when "STARTLS" then @connection.enable_starttls(verified)
      when "TLS" then @connection.enable_tls(verified)
      end
    end

    def unverified
      OpenSSL::SSL::SSLContext.new.tap { |context| context.verify_mode = OpenSSL::SSL::VERIFY_NONE }
    end

    # The chain is verified; as in Postal nothing here asks for the host name to match.
    def verified
      OpenSSL::SSL::SSLContext.new.tap do |context|
        context.verify_mode = OpenSSL::SSL::VERIFY_PEER
        context.cert_store = OpenSSL::X509::Store.new.tap(&:set_default_paths)
      end
    end
  end
end
