# frozen_string_literal: true

# Run by plain ruby in a job of its own, the only pod that has the administrator's password: makes Postal's database and
# its user with the rights Postal needs, and gives the user the declared password. Safe to repeat.

require "json"
require "mysql2"

PAUSE_SECONDS = 2
WRONG_LOGIN = [1044, 1045, 1698].freeze # access denied: waiting would not help

document = JSON.parse(File.read("/config/database.json"))
database = document.fetch("database")
deadline = Time.now + document.fetch("wait_seconds")

begin
  client = Mysql2::Client.new(host: database["host"], port: database["port"], username: document.fetch("admin"),
                              password: File.read("/config/password").chomp, encoding: "utf8mb4", connect_timeout: 5)
rescue Mysql2::Error => e
  raise if WRONG_LOGIN.include?(e.error_number) || Time.now >= deadline

  sleep PAUSE_SECONDS
  retry
end

user = "'#{client.escape(database.fetch('username'))}'@'%'"
password = "'#{client.escape(database.fetch('password'))}'"
main, prefix = database.fetch("main"), database.fetch("prefix")
client.query("CREATE DATABASE IF NOT EXISTS `#{main}` CHARACTER SET utf8mb4")
client.query("CREATE USER IF NOT EXISTS #{user} IDENTIFIED BY #{password}")
client.query("ALTER USER #{user} IDENTIFIED BY #{password}")
# In a grant `_` stands for any character, unless escaped. The second pattern is that of the mail servers' databases.
[main.gsub("_", "\\_"), "#{prefix.gsub('_', '\\_')}-server-%"].each do |pattern|
  client.query("GRANT ALL ON `#{pattern}`.* TO #{user}")
end
puts "#{database['username']} has all rights on #{main} and #{prefix}-server-*"
