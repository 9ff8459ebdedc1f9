# frozen_string_literal: true

# IP pools: addresses mail is sent from when postal.use_ip_pools is on.
class IPPool < ApplicationRecord
  include HasUUID

  has_many :ip_addresses, dependent: :restrict_with_exception
  has_many :servers, dependent: :restrict_with_exception
  has_many :organization_ip_pools, dependent: :destroy
  has_many :organizations, through: :organization_ip_pools
  has_many :ip_pool_rules, dependent: :destroy

  validates :name, presence: true

  def self.default
    where(default: true).order(:id).first
  end
end

class IPAddress < ApplicationRecord
  PRIORITIES = (0..100).freeze

  belongs_to :ip_pool

  before_validation { self.priority = PRIORITIES.last if priority.blank? }

  validates :ipv4, presence: true, uniqueness: true
  validates :ipv6, uniqueness: { allow_blank: true }
  validates :hostname, presence: true
  validates :priority,
            numericality: {
              only_integer: true,
              greater_than_or_equal_to: PRIORITIES.first,
              less_than_or_equal_to: PRIORITIES.last
            }

  scope :order_by_priority, -> { order(priority: :desc) }
end

class OrganizationIPPool < ApplicationRecord
  belongs_to :organization
  belongs_to :ip_pool
end

class IPPoolRule < ApplicationRecord
  include HasUUID

  belongs_to :owner, polymorphic: true
  belongs_to :ip_pool

  validate { errors.add(:base, "At least one rule condition must be specified") if from.empty? && to.empty? }
  validate :pool_of_the_organization

  def from
    from_text.to_s.lines.map(&:strip)
  end

  def to
    to_text.to_s.lines.map(&:strip)
  end

  private

  def pool_of_the_organization
    return unless ip_pool && ip_pool_id_changed?

    organization = owner.is_a?(Organization) ? owner : owner.organization
    errors.add(:ip_pool_id, "must belong to the organization") unless organization.ip_pools.include?(ip_pool)
  end
end
