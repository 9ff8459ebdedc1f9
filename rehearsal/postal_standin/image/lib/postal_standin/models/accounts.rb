# frozen_string_literal: true

require "bcrypt"

class User < ApplicationRecord
  MIN_PASSWORD = 8 # characters

  include HasUUID

  has_secure_password validations: false

  has_many :organization_users, as: :user, dependent: :destroy
  has_many :organizations, through: :organization_users

  default_value :time_zone, -> { "UTC" }

  validates :first_name, :last_name, :email_address, presence: true
  validates :email_address, uniqueness: { case_sensitive: false }, format: { with: /@/, allow_blank: true }
  validates :password, length: { minimum: MIN_PASSWORD, allow_blank: true }, confirmation: { allow_blank: true }
  validate :password_is_there

  before_save :forget_password_reset, if: :password_digest_changed?

  def self.[](address)
    find_by(email_address: address)
  end

  def name
    [first_name, last_name].join(" ")
  end

  def password?
    password_digest.present?
  end

  def email_tag
    "#{name} <#{email_address}>"
  end

  private

  def password_is_there
    errors.add(:password, :blank) unless password? || Postal::Config.oidc.enabled?
  end

  def forget_password_reset
    self.password_reset_token = nil
    self.password_reset_token_valid_until = nil
  end
end

class Organization < ApplicationRecord
  RESERVED_PERMALINKS = %w[new edit remove delete destroy admin mail org server].freeze

  include HasUUID
  include HasSoftDestroy

  belongs_to :owner, class_name: "User"
  has_many :organization_users, dependent: :destroy
  has_many :users, through: :organization_users, source_type: "User"
  has_many :servers, dependent: :destroy
  has_many :domains, as: :owner, dependent: :destroy
  has_many :organization_ip_pools, dependent: :destroy
  has_many :ip_pools, through: :organization_ip_pools
  has_many :ip_pool_rules, as: :owner, dependent: :destroy

  default_value :time_zone, -> { "UTC" }
  default_value :permalink, -> { self.class.free_permalink(name) if name }

  validates :name, :time_zone, presence: true
  validates :permalink,
            presence: true,
            format: { with: /\A[a-z0-9-]*\z/ },
            uniqueness: { case_sensitive: false },
            exclusion: { in: RESERVED_PERMALINKS }

  after_create { ip_pools << IPPool.default if IPPool.default }

  class << self
    # "acme", then "acme-2", "acme-3", ...
    def free_permalink(name)
      base = name.parameterize
      taken = ->(permalink) { exists?(permalink: permalink) }
      return base unless taken.call(base)

      (2..).lazy.map { |number| "#{base}-#{number}" }.find { |permalink| !taken.call(permalink) }
    end

    def [](id)
      id.is_a?(String) ? find_by(permalink: id) : find_by(id: id.to_i)
    end
  end

  def suspended?
    suspended_at.present?
  end

  def status
    suspended? ? "Suspended" : "Active"
  end

  def user_assignment(user)
    organization_users.find_by(user: user)
  end

  # The new owner must be a member already.
  def make_owner(user)
    user_assignment(user).update(admin: true, all_servers: true)
    update(owner: user)
  end

  def to_param
    permalink
  end
end

class OrganizationUser < ApplicationRecord
  belongs_to :organization
  belongs_to :user, polymorphic: true, optional: true
end
