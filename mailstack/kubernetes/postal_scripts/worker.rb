# frozen_string_literal: true

# What a worker's pod starts with: gives back what the worker of this name held when it was killed, then becomes Postal's
# worker. Postal never takes such messages up again; it deletes them after postal.queued_message_lock_stale_days.
# A lock begins with the name of the host, which is the pod's, and a StatefulSet never runs two pods of one name. Locks
# older than any batch can take are nobody's either, whoever held them. What was being sent when the worker was killed
# may be sent twice.

require "mysql2"
require "socket"
require "yaml"

TABLES = %w[queued_messages webhook_requests].freeze
LONGEST_BATCH_HOURS = 12

config = YAML.safe_load(File.read(ENV.fetch("POSTAL_CONFIG_FILE_PATH", "/config/postal.yml"))).fetch("main_db")
client = Mysql2::Client.new(host: config["host"], port: config["port"], username: config["username"],
                            password: config["password"], database: config["database"], encoding: "utf8mb4",
                            connect_timeout: 10)
own = client.escape("host:#{Socket.gethostname} ")
TABLES.each do |table|
  client.query("UPDATE `#{table}` SET locked_by = NULL, locked_at = NULL WHERE locked_by LIKE '#{own}%' " \
               "OR locked_at < UTC_TIMESTAMP() - INTERVAL #{LONGEST_BATCH_HOURS} HOUR")
  puts "#{table}: #{client.affected_rows} given back" if client.affected_rows.positive?
end
client.close
$stdout.flush
exec("bundle", "exec", "ruby", "script/worker.rb")
