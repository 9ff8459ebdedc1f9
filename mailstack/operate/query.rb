# frozen_string_literal: true

# Run by plain ruby in a pod of Postal: asks the database with the pod's own login. Standard input is a list of
# questions in SQL as JSON, standard output one line of JSON, the rows of each. The password stays in the pod.

require "json"
require "mysql2"
require "yaml"

settings = YAML.safe_load(File.read(ENV.fetch("POSTAL_CONFIG_FILE_PATH", "/config/postal.yml"))).fetch("main_db")
client = Mysql2::Client.new(
  host: settings.fetch("host"), port: settings.fetch("port", 3306), username: settings.fetch("username"),
  password: settings.fetch("password"), encoding: "utf8mb4", connect_timeout: 10, read_timeout: 120, cast: false
)
answers = JSON.parse($stdin.read).map do |question|
  client.query(question, as: :array).map { |row| row.map { |value| value.nil? ? "NULL" : value } }
end
puts JSON.generate(answers)
