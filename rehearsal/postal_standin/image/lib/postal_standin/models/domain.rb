# frozen_string_literal: true

require "openssl"
require "postal_standin/dns_checks"

# A domain mail is sent from or received for. Its DKIM key (RSA, 1024 bits) is made on creation, whatever was passed
# in; so is the selector unless one was passed in. Mail is signed with that key only while dkim_status is "OK".
class Domain < ApplicationRecord
  VERIFICATION_METHODS = %w[DNS Email].freeze
  DKIM_BITS = 1024
  IDENTIFIER_LENGTH = 6
  TOKEN_LENGTH = 32

  include HasUUID
  include PostalStandin::DNSChecks

  belongs_to :server, optional: true
  belongs_to :owner, polymorphic: true, optional: true
  has_many :routes, dependent: :destroy
  has_many :track_domains, dependent: :destroy

  random_value :dkim_identifier_string, -> { RandomText.identifier(IDENTIFIER_LENGTH) }

  validates :name,
            presence: true,
            format: { with: /\A[a-z0-9\-.]*\z/ },
            uniqueness: { case_sensitive: false, scope: %i[owner_type owner_id], message: "is already added" }
  validates :verification_method, inclusion: { in: VERIFICATION_METHODS }

  before_create { self.dkim_private_key = OpenSSL::PKey::RSA.new(DKIM_BITS).to_pem }
  before_save :make_verification_token, if: :verification_method_changed?

  scope :verified, -> { where.not(verified_at: nil) }

  def verified?
    verified_at.present?
  end

  def mark_as_verified
    return false if verified?

    update!(verified_at: Time.now)
  end

  # Kept for the life of the object, as in Postal: after update_columns(dkim_private_key: ...) look again with a
  # fresh object, not with this one.
  def dkim_key
    @dkim_key ||= dkim_private_key && OpenSSL::PKey::RSA.new(dkim_private_key)
  end

  def dkim_record
    dkim_key && Postal.dkim_txt(dkim_key)
  end

  def dkim_identifier
    dkim_identifier_string && "#{Postal::Config.dns.dkim_identifier}-#{dkim_identifier_string}"
  end

  def dkim_record_name
    dkim_identifier && "#{dkim_identifier}._domainkey"
  end

  def spf_record
    "v=spf1 a mx include:#{Postal::Config.dns.spf_include} ~all"
  end

  def return_path_domain
    "#{Postal::Config.dns.custom_return_path_prefix}.#{name}"
  end

  def dns_verification_string
    "#{Postal::Config.dns.domain_verify_prefix} #{verification_token}"
  end

  def verify_with_dns
    return false unless verification_method == "DNS" && resolver.txt(name).include?(dns_verification_string)

    update(verified_at: Time.now)
  end

  def resolver
    return DNSResolver.local if Postal::Config.postal.use_local_ns_for_domain_verification?

    @resolver ||= DNSResolver.for_domain(name)
  end

  private

  def make_verification_token
    self.verification_token =
      verification_method == "DNS" ? SecureRandom.alphanumeric(TOKEN_LENGTH) : rand(999_999).to_s.ljust(6, "0")
  end
end

# A name under a domain whose links count clicks and opens; a CNAME must point it to dns.track_domain.
class TrackDomain < ApplicationRecord
  include HasUUID

  belongs_to :server
  belongs_to :domain

  before_validation { self.server ||= domain&.server }

  validates :name,
            presence: true,
            format: { with: /\A[a-z0-9-]+\z/ },
            uniqueness: { scope: :domain_id, case_sensitive: false, message: "is already added" }
  validates :domain_id, uniqueness: { scope: :server_id, message: "already has a track domain for this server" }
  validate :domain_of_the_server

  scope :ok, -> { where(dns_status: "OK") }

  after_create :check_dns, unless: :dns_status

  def full_name
    "#{name}.#{domain.name}"
  end

  def dns_ok?
    dns_status == "OK"
  end

  def check_dns
    verdict = PostalStandin::DNSChecks.cname_verdict(domain.resolver.cname(full_name), Postal::Config.dns.track_domain)
    status, problem = verdict
    update!(dns_status: status, dns_error: problem && "#{full_name}: #{problem}", dns_checked_at: Time.now)
    dns_ok?
  end

  private

  def domain_of_the_server
    return unless domain && [server, server&.organization].exclude?(domain.owner)

    errors.add(:domain, "does not belong to the server or the server's organization")
  end
end
