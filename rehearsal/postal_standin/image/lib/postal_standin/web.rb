# frozen_string_literal: true

require "rack"
require "postal_standin/api"
require "postal_standin/eager_load"
require "postal_standin/web_gates"
require "postal_standin/web_pages"

module PostalStandin
  # What puma serves. Requests pass the tracking host, then the host check, then go to the API or the pages.
  module Web
    def self.app
      Rack::Builder.app do
        use TrackingHost
        use AllowedHost, Postal::Config.postal.web_hostname
        use DatabaseConnection
        map("/api/v1") { run Api.new }
        run Pages.new
      end
    end
  end
end
