# frozen_string_literal: true

require "rack"

module PostalStandin
  # Requests marked by the proxy as meant for a tracking domain. They never reach the pages, nor the host check.
  class TrackingHost
    def initialize(app)
      @app = app
    end

    def call(env)
      return @app.call(env) unless env["HTTP_X_POSTAL_TRACK_HOST"].to_i == 1
      # Links and pixels are not kept here, so no token is ever known.
      return [404, {}, ["Invalid Server Token"]] if env["PATH_INFO"].match?(%r{\A/[a-z0-9-]+/[a-z0-9-]+}i)

      [200, {}, ["Hello."]]
    end
  end

  # Only postal.web_hostname is served (any port): as Host, and as X-Forwarded-Host where a proxy sends it.
  class AllowedHost
    def initialize(app, name)
      @app = app
      @name = name.downcase
    end

    def call(env)
      names = [env["HTTP_HOST"], env["HTTP_X_FORWARDED_HOST"]&.split(",")&.last].compact.map(&:strip)
      return @app.call(env) if names.any? && names.all? { |name| name.downcase.sub(/:\d+\z/, "") == @name }

      Postal.logger.error("Blocked hosts: #{names.join(', ')}")
      [403, { "Content-Type" => "text/html; charset=UTF-8" }, []]
    end
  end

  # Gives the database connection back after every request that took one. An error is a 500 without details.
  class DatabaseConnection
    def initialize(app)
      @app = app
    end

    def call(env)
      @app.call(env)
    rescue StandardError => e
      Postal.logger.error("#{e.class}: #{e.message}\n#{Array(e.backtrace).first(5).join("\n")}")
      [500, { "Content-Type" => "text/plain" }, ["Internal Server Error"]]
    ensure
      ActiveRecord::Base.clear_active_connections!
    end
  end
end
