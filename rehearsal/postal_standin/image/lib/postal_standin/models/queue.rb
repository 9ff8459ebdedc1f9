# frozen_string_literal: true

# A message waiting for delivery. Workers of any number take rows by an UPDATE, so no row is taken twice. A worker
# that is killed leaves its lock behind; such a row is never retried and is deleted when the lock is older than
# postal.queued_message_lock_stale_days.
class QueuedMessage < ApplicationRecord
  # Rows whose retry time has only just come are left for this long.
  RETRY_SLACK = 30.seconds

  include HasLocking

  belongs_to :server
  belongs_to :ip_address, optional: true

  before_create :choose_ip_address

  scope :ready_with_delayed_retry, -> { where("retry_after IS NULL OR retry_after < ?", RETRY_SLACK.ago) }
  scope :with_stale_lock, lambda {
    where("locked_at < ?", Postal::Config.postal.queued_message_lock_stale_days.days.ago)
  }

  class << self
    # Locks one row that is due; nil when there is none. `ip_address_ids`: pool addresses this host has.
    def lock_next(ip_address_ids: [])
      locker = Postal.locker_name_with_suffix(SecureRandom.hex(8))
      taken = unlocked.where(locked_by: nil, ip_address_id: [nil, *ip_address_ids])
                      .ready_with_delayed_retry.limit(1).update_all(locked_by: locker, locked_at: Time.now)
      taken.zero? ? nil : find_by(locked_by: locker)
    end

    # Returns how many rows were thrown away.
    def tidy
      with_stale_lock.delete_all
    end
  end

  # The message in the server's message database, nil when it is not there any more.
  def message
    @message ||= server.message_db.message(message_id)
  rescue MessageStore::NotFound
    nil
  end

  # Locks up to `limit` more rows for the same destination, to be sent in the same SMTP session.
  def batchable_messages(limit)
    raise Postal::Error, "Lock this row before its batch" unless locked?
    return [] if batch_key.nil?

    mates = { batch_key: batch_key, ip_address_id: ip_address_id }
    marker = Postal.locker_name_with_suffix(SecureRandom.hex(8))
    self.class.ready.unlocked.where(mates).limit(limit).update_all(locked_by: marker, locked_at: Time.now)
    self.class.where(locked_by: marker).to_a
  end

  def retry_now
    update!(retry_after: nil)
  end

  private

  def choose_ip_address
    pool = server.ip_pool if Postal.ip_pools? && message&.scope == "outgoing"
    self.ip_address = pool.ip_addresses.order(Arel.sql("RAND() * priority DESC")).first if pool
  end
end

class Statistic < ApplicationRecord
  def self.global
    first || create!
  end
end

class ScheduledTask < ApplicationRecord; end

# One worker at a time has the role that runs scheduled tasks; it must renew it within EXPIRY.
class WorkerRole < ApplicationRecord
  EXPIRY = 5.minutes

  class << self
    # :renewed, :stolen or :created when this process has the role now; false when another one has it.
    def acquire(role)
      mine = Postal.locker_name
      return :renewed if where(role: role, worker: mine).update_all(acquired_at: Time.now).positive?

      abandoned = where(role: role).where("acquired_at IS NULL OR acquired_at < ?", EXPIRY.ago)
      return :stolen if abandoned.update_all(acquired_at: Time.now, worker: mine).positive?

      create!(role: role, worker: mine, acquired_at: Time.now) && :created
    rescue ActiveRecord::RecordNotUnique
      false
    end

    def release(role)
      where(role: role, worker: Postal.locker_name).delete_all.positive?
    end
  end
end
