# frozen_string_literal: true

module PostalStandin
  # The checks a domain's records must pass. Statuses: "OK", "Missing" or "Invalid", with a sentence in *_error.
  # Missing MX and return path are tolerated. Nothing checks a domain before somebody has called check_dns once.
  module DNSChecks
    TOLERATED = %w[OK Missing].freeze

    # [status, problem] of a name that must be exactly one CNAME to `target`.
    def self.cname_verdict(targets, target)
      return ["Missing", "There is no CNAME record"] if targets.empty?
      return ["OK", nil] if targets == [target]

      ["Invalid", "The CNAME record points to #{targets.first}. It should point to #{target}"]
    end

    def check_dns(source = :manual)
      check_spf_record
      check_dkim_record
      check_mx_records
      check_return_path_record
      update!(dns_checked_at: Time.now)
      report_dns_error if source == :auto && !dns_ok? && owner.is_a?(Server)
      dns_ok?
    end

    def dns_ok?
      spf_status == "OK" && dkim_status == "OK" && [mx_status, return_path_status].all? { |it| TOLERATED.include?(it) }
    end

    def dns_checked?
      spf_status.present?
    end

    def check_spf_record
      wanted = Postal::Config.dns.spf_include
      records = resolver.txt(name).grep(/\Av=spf1/)
      if records.empty?
        note(:spf, "Missing", "No SPF record exists for this domain")
      elsif records.grep(/include:\s*#{Regexp.escape(wanted)}/).empty?
        note(:spf, "Invalid", "An SPF record exists but it doesn't include #{wanted}")
      else
        note(:spf, "OK")
      end
    end

    # Exactly one TXT record with exactly the value Postal would publish; only the last semicolon may be missing.
    def check_dkim_record
      host = "#{dkim_record_name}.#{name}"
      records = resolver.txt(host).map { |text| text.end_with?(";") ? text : "#{text};" }
      if records.empty?
        note(:dkim, "Missing", "No TXT records were returned for #{host}")
      elsif records.size > 1
        note(:dkim, "Invalid", "There are #{records.size} records for at #{host}. There should only be one.")
      elsif records.first == dkim_record
        note(:dkim, "OK")
      else
        note(:dkim, "Invalid", "The DKIM record at #{host} does not match the record we have provided.")
      end
    end

    def check_mx_records
      wanted = Postal::Config.dns.mx_records
      found = resolver.mx(name).map { |_preference, host| host.downcase }
      missing = wanted - found
      if found.empty?
        note(:mx, "Missing", "There are no MX records for #{name}")
      elsif missing.empty?
        note(:mx, "OK")
      elsif missing.size == wanted.size
        note(:mx, "Missing", "You have MX records but none of them point to us.")
      else
        note(:mx, "Invalid", "MX records for #{missing.to_sentence} are missing and are required.")
      end
    end

    def check_return_path_record
      host = return_path_domain
      verdict = DNSChecks.cname_verdict(resolver.cname(host), Postal::Config.dns.return_path_domain)
      status, problem = verdict
      note(:return_path, status, problem && "#{host}: #{problem}")
    end

    private

    def note(check, status, problem = nil)
      self["#{check}_status"] = status
      self["#{check}_error"] = problem
    end

    def report_dns_error
      findings = %w[spf dkim mx return_path].flat_map { |check| ["#{check}_status", "#{check}_error"] }
      WebhookRequest.trigger(
        owner,
        "DomainDNSError",
        { server: owner.permalink, domain: name, uuid: uuid, dns_checked_at: dns_checked_at.to_f, **slice(*findings) }
      )
    end
  end
end
