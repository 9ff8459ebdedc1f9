# frozen_string_literal: true

# Where and how the web process listens; PORT and BIND_ADDRESS beat the configuration.
$LOAD_PATH.unshift(File.expand_path("../lib", __dir__))
require "postal_standin/config"

settings = Postal::Config.web_server
address = ENV.fetch("BIND_ADDRESS", settings.default_bind_address)
port = ENV.fetch("PORT", settings.default_port)

threads settings.max_threads, settings.max_threads
bind "tcp://#{address.include?(':') ? "[#{address}]" : address}:#{port}"
environment Postal::Config.rails.environment || "production"
rackup File.expand_path("../config.ru", __dir__)
