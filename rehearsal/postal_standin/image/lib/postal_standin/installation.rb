# frozen_string_literal: true

require "logger"
require "openssl"
require "socket"

# Facts about this installation that Postal keeps in one module and scripts ask for.
module Postal
  class Error < StandardError; end

  APP_ROOT = File.expand_path("../..", __dir__)

  class << self
    def version
      file = File.join(APP_ROOT, "VERSION")
      text = File.exist?(file) ? File.read(file).strip : ""
      text.empty? ? "0.0.0" : text
    end

    def logger
      @logger ||= Logger.new(Config.logging.enabled? ? $stdout : File::NULL, progname: "postal")
    end

    def ip_pools?
      Config.postal.use_ip_pools?
    end

    def host_with_protocol
      "#{Config.postal.web_protocol}://#{Config.postal.web_hostname}"
    end

    # Who holds a queue lock: host, process and thread.
    def locker_name
      "host:#{Socket.gethostname} pid:#{Process.pid} thread:#{Thread.current.native_thread_id}"
    end

    def locker_name_with_suffix(suffix)
      "#{locker_name} #{suffix}"
    end

    def signing_key
      @signing_key ||= OpenSSL::PKey::RSA.new(File.read(Config.postal.signing_key_path))
    end

    # TXT record of the installation's own key, at <dkim_identifier>._domainkey.<return_path_domain>.
    def rp_dkim_dns_record
      dkim_txt(signing_key)
    end

    # The TXT value Postal publishes for an RSA key and compares with when it checks a domain.
    def dkim_txt(key)
      body = key.public_key.to_pem.lines.reject { |line| line.start_with?("-----") }.join.delete("\n")
      "v=DKIM1; t=s; h=sha256; p=#{body};"
    end
  end
end
