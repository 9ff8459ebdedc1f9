# frozen_string_literal: true

require "openssl"
require "socket"
require "postal_standin/eager_load"
require "postal_standin/health"
require "postal_standin/smtp_server_session"

module PostalStandin
  # `postal smtp-server`: one thread for each connection. TERM and INT stop the listener; the process ends when the
  # last client has gone, however long that takes.
  class SMTPServer
    READ_SIZE = 10_240 # bytes

    def self.run
      settings = Postal::Config.smtp_server
      Health.start(name: "smtp-server", metrics: METRICS, port: settings.default_health_server_port,
                   address: settings.default_health_server_bind_address)
      new(settings).run
    end

    def initialize(settings)
      @settings = settings
      @clients = ThreadGroup.new
      @stop_read, @stop_write = IO.pipe
      @tls_lock = Mutex.new
    end

    def run
      listener = listen
      %w[TERM INT].each { |signal| trap(signal) { @stop_write.write_nonblock(".", exception: false) } }
      accept_until_stopped(listener)
      listener.close
      @clients.list.each(&:join)
    end

    private

    def listen
      address = ENV.fetch("BIND_ADDRESS", @settings.default_bind_address)
      port = ENV.fetch("PORT", @settings.default_port)
      listener = TCPServer.new(address, port)
      Postal.logger.info("Listening on #{address}:#{port}")
      listener
    end

    # Certificate and key are read at the first STARTTLS and never again: a renewed pair needs a restart.
    def tls_context
      @tls_lock.synchronize { @tls_context ||= load_tls_context }
    end

    def load_tls_context
      chain = OpenSSL::X509::Certificate.load(File.read(@settings.tls_certificate_path))
      OpenSSL::SSL::SSLContext.new.tap do |context|
        key = OpenSSL::PKey.read(File.read(@settings.tls_private_key_path))
        context.add_certificate(chain.first, key, chain.drop(1))
        context.ciphers = @settings.tls_ciphers if @settings.tls_ciphers
      end
    end

    def accept_until_stopped(listener)
      loop do
        ready, = IO.select([listener, @stop_read])
        return if ready.include?(@stop_read)

        socket = listener.accept
        METRICS.increment(:postal_smtp_server_connections_total)
        @clients.add(Thread.new { serve(socket) })
      end
    end

    def serve(socket)
      address = socket.remote_address.ip_address.delete_prefix("::ffff:")
      session = Session.new(address, proxied: @settings.proxy_protocol?)
      reply(socket, [session.greeting]) unless @settings.proxy_protocol?
      socket = converse(socket, session) until session.finished?
    rescue EOFError, SystemCallError, OpenSSL::SSL::SSLError => e
      Postal.logger.debug("connection ended: #{e.class}")
    rescue StandardError => e
      # As in Postal the connection is closed without a reply, which a client takes for a temporary failure.
      Postal.logger.error("#{e.class}: #{e.message}")
      METRICS.increment(:postal_smtp_server_exceptions_total, type: "data", error: e.class)
    ensure
      close(socket)
    end

    # Answers lines until the client goes or asks for TLS; what was sent behind STARTTLS in clear is thrown away.
    def converse(socket, session)
      buffer = +"".b
      loop do
        buffer << socket.readpartial(READ_SIZE)
        while (line = buffer.slice!(/\A[^\n]*\n/n))
          reply(socket, answer(session, line.delete_suffix("\n")))
          return handshake(socket) if session.take_starttls
          return socket if session.finished?
        end
      end
    end

    # A database connection is taken only by the lines that need one, and given back after each.
    def answer(session, line)
      session.receive(line)
    ensure
      ActiveRecord::Base.clear_active_connections!
    end

    def reply(socket, lines)
      socket.write(lines.map { |line| "#{line}\r\n" }.join) if lines.any?
    end

    def handshake(socket)
      secured = OpenSSL::SSL::SSLSocket.new(socket, tls_context)
      secured.sync_close = true
      secured.accept
      METRICS.increment(:postal_smtp_server_tls_connections_total)
      secured
    end

    def close(socket)
      socket.close
    rescue SystemCallError, OpenSSL::SSL::SSLError
      nil
    end
  end
end
