# frozen_string_literal: true

require "json"
require "rack"
require "postal_standin/api_messages"
require "postal_standin/api_send"

module PostalStandin
  # The HTTP API (v1). The HTTP status is 200 also for errors; what happened is in `status` of the JSON body:
  # success, error (data: code, message) or parameter-error (data: message).
  class Api
    ACTIONS = {
      "/send/message" => ApiSend.method(:message),
      "/send/raw" => ApiSend.method(:raw),
      "/messages/message" => ApiMessages.method(:message),
      "/messages/deliveries" => ApiMessages.method(:deliveries)
    }.freeze
    HTML = { "Content-Type" => "text/html; charset=UTF-8" }.freeze
    METHODS = %w[GET POST PUT PATCH].freeze

    # An answer with status "error".
    class Refused < StandardError
      attr_reader :data

      def initialize(code, **data)
        super(code)
        @data = { **data, code: code }
      end
    end

    # An answer with status "parameter-error".
    class BadParameter < StandardError
      def initialize(name)
        super("`#{name}` parameter is required but is missing")
      end
    end

    # What an action gets to know. parameters: Hash with string keys.
    Call = Struct.new(:credential, :parameters, :address, keyword_init: true) do
      def server
        credential.server
      end
    end

    def call(env)
      request = Rack::Request.new(env)
      action = ACTIONS[request.path_info]
      return [404, HTML, ["Not found"]] unless action && METHODS.include?(request.request_method)

      answer do
        credential = authenticate(env)
        action.call(Call.new(credential: credential, parameters: parameters(request), address: request.ip))
      end
    rescue JSON::ParserError
      # Broken JSON is the exception from "always 200". In the form field it even is an internal error.
      json?(request) ? [400, HTML, []] : raise
    end

    private

    def answer
      started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      status, data =
        begin
          ["success", yield]
        rescue Refused => e
          ["error", e.data]
        rescue BadParameter => e
          ["parameter-error", { message: e.message }]
        end
      time = (Process.clock_gettime(Process::CLOCK_MONOTONIC) - started).round(3)
      body = JSON.generate({ status: status, time: time, flags: {}, data: data })
      [200, { "Content-Type" => "application/json; charset=utf-8" }, [body]]
    end

    def authenticate(env)
      key = env["HTTP_X_SERVER_API_KEY"].to_s
      raise Refused.new("AccessDenied", message: "Must be authenticated as a server.") if key.strip.empty?

      credential = Credential.find_by(type: "API", key: key)
      unless credential
        raise Refused.new("InvalidServerAPIKey", token: key,
                                                 message: "The API token provided in X-Server-API-Key was not valid.")
      end
      raise Refused, "ServerSuspended" if credential.server.suspended?

      credential.use
      credential
    end

    # A JSON body, or JSON in the form field `params`; anything else counts as no parameters.
    def parameters(request)
      text = json?(request) ? request.body.read : request.params["params"]
      parsed = text.to_s.strip.empty? ? {} : JSON.parse(text)
      parsed.is_a?(Hash) ? parsed : {}
    end

    def json?(request)
      request.content_type.to_s.start_with?("application/json")
    end
  end
end
