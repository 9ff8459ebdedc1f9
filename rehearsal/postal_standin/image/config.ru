# frozen_string_literal: true

require_relative "lib/postal_standin"
require "postal_standin/migration_waiter"
require "postal_standin/web"

PostalStandin::MigrationWaiter.wait_if_enabled
run PostalStandin::Web.app
