# frozen_string_literal: true

# A mail server of an organization. Creating one makes its message database anew: an existing database of that
# number is dropped, which is what happens when the main database was restored to an older state.
class Server < ApplicationRecord
  MODES = %w[Live Development].freeze
  RESERVED_PERMALINKS = %w[new all search stats edit manage delete destroy remove].freeze
  TOKEN_LENGTH = 6

  include HasUUID
  include HasSoftDestroy

  # false: leave the message database alone on creation and destruction.
  attr_accessor :provision_database

  belongs_to :organization
  belongs_to :ip_pool, optional: true
  has_many :domains, as: :owner, dependent: :destroy
  has_many :credentials, dependent: :destroy
  has_many :routes, dependent: :destroy
  has_many :http_endpoints, dependent: :destroy
  has_many :smtp_endpoints, dependent: :destroy
  has_many :address_endpoints, dependent: :destroy
  has_many :queued_messages, dependent: :delete_all
  has_many :webhooks, dependent: :destroy
  has_many :webhook_requests, dependent: :destroy
  has_many :track_domains, dependent: :destroy
  has_many :ip_pool_rules, as: :owner, dependent: :destroy

  random_value :token, -> { RandomText.identifier(TOKEN_LENGTH).downcase }
  before_validation(on: :create) { self.token = token.downcase }
  default_value :permalink, -> { name&.parameterize }
  default_value :raw_message_retention_days, -> { 30 }
  default_value :raw_message_retention_size, -> { 2048 } # MB
  default_value :message_retention_days, -> { 60 }
  default_value :spam_threshold, -> { Postal::Config.postal.default_spam_threshold }
  default_value :spam_failure_threshold, -> { Postal::Config.postal.default_spam_failure_threshold }

  validates :name, presence: true, uniqueness: { scope: :organization_id, case_sensitive: false }
  validates :mode, inclusion: { in: MODES }
  validates :permalink,
            presence: true,
            uniqueness: { scope: :organization_id, case_sensitive: false },
            format: { with: /\A[a-z0-9-]*\z/ },
            exclusion: { in: RESERVED_PERMALINKS }
  validate :pool_of_the_organization

  after_create { message_db.provision unless provision_database == false }
  after_commit(on: :destroy) { message_db.drop unless provision_database == false }

  class << self
    # A number, or "organization/server". As in Postal neither part may have a hyphen here.
    def [](id, _extra = nil)
      return find_by(id: id.to_i) unless id.is_a?(String) && id.match?(%r{\A\w+/\w+\z})

      owner, name = id.split("/")
      joins(:organization).find_by(organizations: { permalink: owner }, permalink: name)
    end
  end

  def message_db
    @message_db ||= MessageStore.for(self)
  end

  def message(query)
    message_db.message(query)
  end

  def full_permalink
    "#{organization.permalink}/#{permalink}"
  end

  def suspended?
    suspended_at.present? || organization.suspended?
  end

  def status
    suspended? ? "Suspended" : mode
  end

  def queue_size
    queued_messages.ready.count
  end

  # The verified domain that allows `address` ("Name <local@domain>") as a sender: the server's own first, then the
  # organization's, then a domain of this server that is marked use_for_any. nil when there is none.
  def authenticated_domain_for_address(address)
    bare = address.to_s[/<([^<>]*)>/, 1] || address.to_s.strip
    local, host = bare.split("@", 2)
    return nil if local.blank? || host.blank?

    verified_domain(host) || domains.verified.where(use_for_any: true).order(:name).first
  end

  # `headers`: name in lower case => list of values. Every From (then, if allowed, Sender) must be authenticated.
  def find_authenticated_domain_from_headers(headers)
    names = allow_sender? ? %w[from sender] : %w[from]
    names.each do |name|
      found = Array(headers[name] || "").map { |value| authenticated_domain_for_address(value) }
      return found.first if found.any? && found.all?
    end
    nil
  end

  def to_param
    permalink
  end

  private

  def verified_domain(host)
    mine = Domain.verified.where(name: host, owner_type: "Server", owner_id: id).first
    mine || Domain.verified.where(name: host, owner_type: "Organization", owner_id: organization_id).first
  end

  def pool_of_the_organization
    return unless ip_pool && ip_pool_id_changed?

    errors.add(:ip_pool_id, "must belong to the organization") unless organization.ip_pools.include?(ip_pool)
  end
end
