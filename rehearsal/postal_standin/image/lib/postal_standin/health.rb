# frozen_string_literal: true

require "socket"
require "webrick"
require "postal_standin/health_metrics"

module PostalStandin
  # The small HTTP server beside the smtp and worker processes: /health, /metrics and /.
  # It says only that the process lives; the database is not asked.
  class Health
    # Starts in the background. HEALTH_SERVER_PORT and HEALTH_SERVER_BIND_ADDRESS go before the settings.
    # A port that is taken is only logged: the process goes on without, as Postal's do.
    def self.start(name:, port:, address:, metrics:)
      port = Integer(ENV.fetch("HEALTH_SERVER_PORT", port))
      address = ENV.fetch("HEALTH_SERVER_BIND_ADDRESS", address)
      Thread.new { new(name, metrics).serve(port, address) }
    end

    def initialize(name, metrics)
      @name = name
      @metrics = metrics
    end

    def serve(port, address)
      server = WEBrick::HTTPServer.new(Port: port, BindAddress: address, AccessLog: [],
                                       Logger: WEBrick::Log.new(File::NULL))
      server.mount_proc("/") { |request, response| answer(request.path, response) }
      server.start
    rescue Errno::EADDRINUSE
      Postal.logger.info("health server port (#{address}:#{port}) is already in use, not starting health server")
    end

    private

    def answer(path, response)
      response.status = 200
      response.content_type = "text/plain"
      response.body =
        case path
        when "/health" then "OK"
        when "/metrics" then @metrics.to_text
        when "/" then "#{@name} (pid: #{Process.pid}, host: #{Socket.gethostname})"
        else
          response.status = 404
          "Not Found"
        end
    end
  end
end
