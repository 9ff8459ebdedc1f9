# frozen_string_literal: true

require "ipaddr"

# What an application logs in with. The key of an SMTP or API credential is always made here on creation, whatever
# was passed in, and validation refuses to change it: only `update_column(:key, value)` can.
class Credential < ApplicationRecord
  TYPES = %w[SMTP API SMTP-IP].freeze
  KEY_LENGTH = 24

  include HasUUID

  belongs_to :server

  serialize :options, Hash

  before_validation { self.key = SecureRandom.alphanumeric(KEY_LENGTH) if new_record? && !by_address? }

  validates :key, presence: true, uniqueness: { case_sensitive: false }
  validates :type, inclusion: { in: TYPES }
  validates :name, presence: true
  validate { errors.add(:key, "cannot be changed") if persisted? && key_changed? && !by_address? }
  validate { errors.add(:key, "must be a valid IPv4 or IPv6 address") if by_address? && ipaddr.nil? }

  # SMTP-IP: the key is the address or network that may send without logging in.
  def by_address?
    type == "SMTP-IP"
  end

  def ipaddr
    IPAddr.new(key.to_s) if by_address?
  rescue IPAddr::Error
    nil
  end

  def use
    update_column(:last_used_at, Time.now)
  end
end
