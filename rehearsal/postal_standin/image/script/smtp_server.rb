# frozen_string_literal: true

$stdout.sync = true
$stderr.sync = true

require_relative "../lib/postal_standin"
require "postal_standin/migration_waiter"
require "postal_standin/smtp_server"

PostalStandin::MigrationWaiter.wait_if_enabled
PostalStandin::SMTPServer.run
