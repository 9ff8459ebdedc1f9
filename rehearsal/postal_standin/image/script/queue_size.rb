# frozen_string_literal: true

require_relative "../lib/postal_standin"

# Rows that are due and not held by a worker.
puts QueuedMessage.ready.unlocked.count
