# frozen_string_literal: true

require "resolv"

# DNS as Postal asks for it: raw queries to name servers, never /etc/hosts. An IP literal has no A record here, so
# it does not resolve; a timeout is an empty answer.
class DNSResolver
  class LocalResolversUnavailableError < StandardError; end

  attr_reader :nameservers

  class << self
    # The name servers of resolv.conf (dns.resolv_conf_path), read once.
    def local
      @local ||= new(nameservers_of(Postal::Config.dns.resolv_conf_path))
    end

    # The name servers that are authoritative for a domain, asked over IPv4 only.
    def for_domain(name)
      new(local.effective_ns(name).flat_map { |server| local.a(server) }.uniq)
    end

    private

    def nameservers_of(path)
      raise LocalResolversUnavailableError, "No resolver config found at #{path}" unless File.file?(path)

      found = Resolv::DNS::Config.parse_resolv_conf(path)[:nameserver]
      raise LocalResolversUnavailableError, "Could not find nameservers in #{path}" if found.nil? || found.empty?

      found
    end
  end

  def initialize(nameservers)
    @nameservers = nameservers
  end

  def a(name)
    ask(name, :A).map { |record| record.address.to_s }
  end

  def aaaa(name)
    ask(name, :AAAA).map { |record| record.address.to_s }
  end

  def txt(name)
    ask(name, :TXT).map { |record| record.data.strip }
  end

  def cname(name)
    ask(name, :CNAME).map { |record| record.name.to_s.downcase }
  end

  # [[preference, host], ...], best first.
  def mx(name)
    ask(name, :MX).map { |record| [record.preference, record.exchange.to_s] }.sort_by { |entry| [entry.first, rand] }
  end

  # Names of the closest enclosing zone's servers: a.b.example.com, then b.example.com, then example.com.
  def effective_ns(name)
    labels = name.split(".")
    (0..labels.size - 2).each do |start|
      servers = ask(labels.drop(start).join("."), :NS).map { |record| record.name.to_s }
      return servers if servers.any?
    end
    []
  end

  private

  def ask(name, type)
    Resolv::DNS.open(nameserver: @nameservers) do |dns|
      limit = Postal::Config.dns.timeout
      dns.timeouts = [limit, limit / 2, limit / 2]
      dns.getresources(name, Resolv::DNS::Resource::IN.const_get(type))
    end
  end
end
