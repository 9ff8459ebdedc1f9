# frozen_string_literal: true

# Stand-in for Postal 3.3, see ../README.md. Requiring this file reads the configuration, prepares the database
# connection (opened at the first query) and defines the models at top level, as in Postal:
#
#   Postal::Config                         settings                          lib/postal_standin/config.rb
#   Organization, Server, Domain, ...      models of the main database       lib/postal_standin/models/
#   MessageStore.for(server)               message database of one server    lib/postal_standin/message_store.rb
#   QueuedMessage                          the delivery queue                lib/postal_standin/models/queue.rb
#
# Entry points of the long-running processes, started by script/*.rb and config/puma.rb:
#
#   postal_standin/smtp_server   PostalStandin::SMTPServer.run      listens until TERM or INT
#   postal_standin/worker        PostalStandin::Worker.run          works until TERM or INT, finishes jobs in flight
#   postal_standin/web           PostalStandin::Web.app             Rack application served by puma

$LOAD_PATH.unshift(__dir__) unless $LOAD_PATH.include?(__dir__)

require "active_record"
require "active_support/all"
require "mysql2"
require "securerandom"

require "postal_standin/config"
require "postal_standin/installation"
require "postal_standin/database"
require "postal_standin/dns_resolver"
require "postal_standin/message_store"
require "postal_standin/models/base"
require "postal_standin/models/accounts"
require "postal_standin/models/ip_pools"
require "postal_standin/models/server"
require "postal_standin/models/domain"
require "postal_standin/models/credential"
require "postal_standin/models/routing"
require "postal_standin/models/webhooks"
require "postal_standin/models/queue"

PostalStandin::Database.connect
