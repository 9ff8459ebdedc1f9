# frozen_string_literal: true

require "postal_standin/delivery_batch"
require "postal_standin/eager_load"
require "postal_standin/health"
require "postal_standin/worker_tasks"

module PostalStandin
  # `postal worker`: threads that take messages from the queue, and one for the scheduled tasks. TERM and INT let
  # every thread finish the messages it holds.
  #
  # A worker that is killed instead leaves its locks behind. As in Postal nobody takes such messages up again: they
  # stay in the queue, locked, until the tidy task deletes them after postal.queued_message_lock_stale_days.
  class Worker
    IDLE_SECONDS = 5
    TASKS_EVERY_SECONDS = 60
    SPARE_CONNECTIONS = 3 # for the tasks and the health server

    METRICS = Metrics.new(
      postal_worker_job_executions: ["counter", "Jobs that found work, by thread and job"],
      postal_worker_job_runtime: ["histogram", "Seconds a job took, by thread and job"],
      postal_worker_errors: ["counter", "Errors while working, by class"],
      postal_worker_task_runtime: ["histogram", "Seconds a scheduled task took, by task"],
      postal_message_queue_latency: ["histogram", "Seconds between queueing and taking a message"]
    )

    def self.run
      settings = Postal::Config.worker
      Health.start(name: "worker", metrics: METRICS, port: settings.default_health_server_port,
                   address: settings.default_health_server_bind_address)
      new(settings.threads).run
    end

    def initialize(threads)
      @threads = threads
      @tasks = Tasks.new
      @stop_read, @stop_write = IO.pipe
    end

    def run
      %w[TERM INT].each { |signal| trap(signal) { @stop_write.close unless @stop_write.closed? } }
      needed = @threads + SPARE_CONNECTIONS
      Database.resize_pool(needed) if ActiveRecord::Base.connection_pool.size < needed
      Postal.logger.info("starting #{@threads} work threads")
      workers = Array.new(@threads) { |index| Thread.new { work_until_stopped(index) } }
      [*workers, Thread.new { run_tasks_until_stopped }].each(&:join)
      Postal.logger.info("worker stopped")
    end

    private

    # True when the process is to end; waits for that at most `seconds`.
    def stopped_within?(seconds)
      !@stop_read.wait_readable(seconds).nil?
    end

    def work_until_stopped(index)
      loop do
        found = guarded { work(index) }
        break if stopped_within?(found ? 0 : IDLE_SECONDS)
      end
    end

    def work(index)
      labels = { thread: index, job: "ProcessQueuedMessagesJob" }
      timed(**labels) do
        queued = QueuedMessage.lock_next
        next false unless queued

        METRICS.observe(:postal_message_queue_latency, Time.now - queued.created_at)
        Batch.new(queued).run
        METRICS.increment(:postal_worker_job_executions, **labels)
        true
      end
    end

    def run_tasks_until_stopped
      loop do
        guarded { run_tasks }
        break if stopped_within?(TASKS_EVERY_SECONDS)
      end
      guarded { @tasks.release }
    end

    def run_tasks
      @tasks.run { |name, seconds| METRICS.observe(:postal_worker_task_runtime, seconds, task: name) }
    end

    def timed(**labels)
      started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      yield
    ensure
      seconds = Process.clock_gettime(Process::CLOCK_MONOTONIC) - started
      METRICS.observe(:postal_worker_job_runtime, seconds, **labels)
    end

    # The database may be away for a while: that is counted and tried again, never the end of the process.
    def guarded(&block)
      ActiveRecord::Base.connection_pool.with_connection(&block)
    rescue StandardError => e
      METRICS.increment(:postal_worker_errors, error: e.class)
      Postal.logger.error("#{e.class} (#{e.message})")
      false
    end
  end
end
