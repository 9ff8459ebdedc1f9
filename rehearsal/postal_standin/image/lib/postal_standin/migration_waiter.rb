# frozen_string_literal: true

require "postal_standin/schema"

module PostalStandin
  # With migration_waiter.enabled a process does not start before the database fits this release.
  module MigrationWaiter
    module_function

    def wait_if_enabled
      settings = Postal::Config.migration_waiter
      return unless settings.enabled?

      settings.attempts.times do |attempt|
        waiting = Schema.new.pending.size
        return if waiting.zero?

        Postal.logger.info("waiting for #{waiting} migration(s) (#{settings.attempts - attempt - 1} tries left)")
        sleep(settings.sleep_time)
      end
      Postal.logger.info("migrations are still pending, exiting")
      exit(1)
    end
  end
end
