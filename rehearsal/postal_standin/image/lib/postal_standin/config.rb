# frozen_string_literal: true

require "cgi"
require "ipaddr"
require "uri"
require "yaml"
require "postal_standin/settings"

module PostalStandin
  # A group of settings, read by method name: `dns.track_domain`, `smtp_server.tls_enabled?`.
  # As in Postal a name that does not exist answers nil, which hides spelling mistakes.
  class ConfigGroup
    def initialize(values)
      @values = values.transform_keys(&:to_s)
    end

    def [](name)
      @values[name.to_s]
    end

    def to_h
      @values.dup
    end

    def method_missing(name, *arguments)
      raise ArgumentError, "#{name} takes no argument" unless arguments.empty?

      text = name.to_s
      text.end_with?("?") ? !!@values[text.chomp("?")] : @values[text]
    end

    def respond_to_missing?(_name, _include_private = false)
      true
    end

    # Asked by `puts`, `Array()` and string interpolation; a setting is never called that.
    %i[to_ary to_str to_hash].each { |name| define_method(name) { nil } }
  end

  # Where a relay of postal.smtp_relays is. Name and password in the address are ignored, the scheme too.
  Relay = Struct.new(:host, :port, :ssl_mode, keyword_init: true)

  # Reads the configuration as Postal does: defaults, then the file, then the environment (GROUP_KEY).
  class ConfigLoader
    DEFAULT_PATH = "/config/postal.yml"
    ROOT_MARK = /\$config-file-root/i.freeze
    TRUE_WORDS = %w[true 1 1.0].freeze

    def initialize(environment = ENV)
      @environment = environment
      @path = environment.fetch("POSTAL_CONFIG_FILE_PATH", DEFAULT_PATH)
      @quiet = environment["SILENCE_POSTAL_CONFIG_MESSAGES"] == "true"
    end

    def load
      from_file = read_file
      groups = SETTINGS.to_h do |group, keys|
        [group, ConfigGroup.new(keys.to_h { |key, rule| [key, value_of(group, key, rule, from_file)] })]
      end
      ConfigGroup.new(groups)
    end

    private

    def value_of(group, key, rule, from_file)
      type, default = rule
      section = from_file.fetch(group.to_s, {})
      name = "#{group}_#{key}".upcase
      return convert(type, split_list(type, @environment[name])) if @environment.key?(name)
      # A key that is there with null replaces the default; a group that is null crashes here, as in Postal.
      return convert(type, section[key.to_s]) if section.key?(key.to_s)

      convert(type, default)
    end

    def split_list(type, text)
      %i[strings relays networks].include?(type) ? text.split(",").map(&:strip) : text
    end

    def read_file
      unless File.file?(@path)
        say("No configuration file found at #{@path}", "Only using environment variables for configuration")
        return {}
      end
      say("Loading config from #{@path}")
      values = YAML.safe_load(File.read(@path))
      check_version(values)
    end

    # The stand-in does not read version 1 files: every legacy key is left at its default.
    def check_version(values)
      case values["version"] || 1
      when 2 then values
      when 1
        say("WARNING: Using legacy config file format. Add version: 2 to use the version 2 configuration.")
        {}
      else
        raise "Invalid version specified in Postal config file. Must be 1 or 2."
      end
    end

    def say(*lines)
      lines.each { |line| warn(line) } unless @quiet
    end

    def convert(type, value)
      case type
      when :relays then relays(value)
      when :networks then value.map { |item| IPAddr.new(item) }
      when :strings then value&.map { |item| scalar(:string, item) }
      when :path then scalar(:string, value)&.gsub(ROOT_MARK, File.dirname(@path))
      else scalar(type, value)
      end
    end

    def scalar(type, value)
      return nil if value.nil? || value == ""

      case type
      when :integer then value.to_i
      when :boolean then TRUE_WORDS.include?(value.to_s)
      else value.to_s
      end
    end

    # Null crashes (`nil.map`), which is what happens in Postal; the mode is not checked, see the relay pitfalls.
    def relays(value)
      value.map do |item|
        uri = URI.parse(item)
        mode = CGI.parse(uri.query.to_s)["ssl_mode"].first
        Relay.new(host: uri.host, port: uri.port || 25, ssl_mode: mode || "Auto")
      end
    end
  end
end

module Postal
  Config = PostalStandin::ConfigLoader.new.load unless const_defined?(:Config)
end
