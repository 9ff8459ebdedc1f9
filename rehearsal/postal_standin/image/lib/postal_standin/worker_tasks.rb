# frozen_string_literal: true

module PostalStandin
  class Worker
    # The scheduled tasks, of all Postal's those that change what a rehearsal can see. One worker of the installation
    # runs them; a task that is new in the database waits for its first time too.
    class Tasks
      # Postal's name of a task => minute of every hour (UTC).
      MINUTES = {
        "ActionDeletionsScheduledTask" => 15,
        "CheckAllDNSScheduledTask" => 15,
        "TidyQueuedMessagesTask" => 45
      }.freeze
      ROLE = "tasks"
      CHECK_AGAIN = 1.hour

      # Yields the name and the seconds of every task that ran.
      def run(&report)
        return unless WorkerRole.acquire(ROLE)

        MINUTES.each { |name, minute| run_if_due(name, minute, &report) }
      end

      def release
        WorkerRole.release(ROLE)
      end

      private

      def run_if_due(name, minute)
        task = ScheduledTask.create_with(next_run_after: next_time(minute)).find_or_create_by!(name: name)
        return unless task.next_run_after < Time.now

        started = Time.now
        perform(name)
        yield name, Time.now - started
      ensure
        task.update!(next_run_after: next_time(minute)) if started
      end

      def next_time(minute)
        time = Time.now.utc.change(min: minute)
        time < Time.now ? time + 1.hour : time
      end

      def perform(name)
        Postal.logger.info("running task #{name}")
        case name
        when "ActionDeletionsScheduledTask" then [*Organization.deleted, *Server.deleted].each(&:destroy)
        when "TidyQueuedMessagesTask" then QueuedMessage.tidy
        else check_dns
        end
      end

      # A domain nobody has checked by hand yet is never checked here.
      def check_dns
        Domain.where("dns_checked_at <= ?", CHECK_AGAIN.ago).each { |domain| domain.check_dns(:auto) }
        TrackDomain.where("dns_checked_at IS NULL OR dns_checked_at <= ?", CHECK_AGAIN.ago).each(&:check_dns)
      end
    end
  end
end
