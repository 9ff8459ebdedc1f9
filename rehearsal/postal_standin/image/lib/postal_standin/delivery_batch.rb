# frozen_string_literal: true

require "postal_standin/delivery"

module PostalStandin
  # The sessions of one batch: one for each destination. After "no server could be reached" the rest of the batch
  # gets the same outcome without another try.
  class Transports
    # A transport that has connected once, or has failed to.
    class Shared
      def initialize(transport)
        @transport = transport
        transport.connect
      end

      def deliver(message)
        @failure || @transport.deliver(message).tap { |outcome| @failure = outcome if outcome.no_connection }
      end

      def finish
        @transport.finish
      end
    end

    def initialize
      @by_destination = {}
    end

    def for(domain, **options)
      @by_destination[[domain, options]] ||= Shared.new(Transport.new(domain, **options))
    end

    def finish
      @by_destination.each_value(&:finish)
    end
  end

  # A locked queue entry and, with postal.batch_queued_messages, the others for the same destination.
  class Batch
    LIMIT = 100 # messages

    def initialize(queued)
      @queued = queued
    end

    def run
      return @queued.unlock unless @queued.ready?

      transports = Transports.new
      entries.each { |entry| Delivery.new(entry, transports).run }
    ensure
      transports&.finish
    end

    private

    def entries
      return [@queued] unless Postal::Config.postal.batch_queued_messages?

      [@queued, *@queued.batchable_messages(LIMIT)]
    rescue StandardError
      @queued.unlock
      raise
    end
  end
end
